// HTTP/2 settings of the expert hop, alike on both sides.
#ifndef TRAMONTANE_PROTO_WIRE_TRANSPORT_H_
#define TRAMONTANE_PROTO_WIRE_TRANSPORT_H_

namespace tramontane {

// A prefill batch flows without a round trip for window updates.
inline constexpr int kStreamWindowBytes = 16 << 20;
// Few frames a message, so few rows straddle a piece's end.
inline constexpr int kMaxFrameBytes = 4 << 20;
// A token's rows are read at once. gRPC would take the size of what came before, in which the next
// message may just not fit.
inline constexpr int kLeastReadBytes = 24 << 10;

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_WIRE_TRANSPORT_H_
