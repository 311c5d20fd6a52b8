// Which thread polls which connection.
#ifndef TRAMONTANE_PROTO_SERVING_POLLING_H_
#define TRAMONTANE_PROTO_SERVING_POLLING_H_

namespace tramontane {

// Makes gRPC's threads poll the connections of their own completion queue alone (its "poll"
// strategy; GRPC_POLL_STRATEGY in the environment overrides it). Otherwise one thread polls all
// connections of the process, and a thread that waits for a message of the hop waits for the poller
// of other connections, or does its work. To be called before anything of gRPC's is made, by
// processes with a StreamPump or a CallLoop.
void PollOwnConnections();

// What a thread does between two looks for an event: lets others run, on its processor and, where
// that has two at once, beside it.
void BetweenLooks();

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_SERVING_POLLING_H_
