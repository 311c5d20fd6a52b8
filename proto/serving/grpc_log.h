// What gRPC itself has to say, in the log's form and at a bounded rate.
#ifndef TRAMONTANE_PROTO_SERVING_GRPC_LOG_H_
#define TRAMONTANE_PROTO_SERVING_GRPC_LOG_H_

namespace tramontane {

// From now on gRPC's lines (a TLS handshake that failed, say) are ours: level warning, ten in ten
// seconds at most. Not where the environment has GRPC_VERBOSITY: then all are wanted, as they are.
void TakeGrpcLog();

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_SERVING_GRPC_LOG_H_
