// tramontane.v1.ExpertBatch <-> bytes, with the rows left where they are. See docs/wire.md.
#ifndef TRAMONTANE_PROTO_WIRE_EXPERT_BATCH_H_
#define TRAMONTANE_PROTO_WIRE_EXPERT_BATCH_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "model/dtype.h"
#include "proto/wire/piece_reader.h"

namespace tramontane {

// The message but its rows; fields as in proto/expert.proto.
struct WireExpertBatch {
  uint64_t batch_id = 0;  // 0: not given
  int32_t layer = 0;
  std::optional<DType> row_dtype;  // absent: unspecified, or a format that is not known here
  int32_t num_rows = 0;
  std::vector<int32_t> expert_ids;       // [num_groups]
  std::vector<int32_t> rows_per_expert;  // [num_groups]
  std::vector<int32_t> row_indices;      // [num_pairs]
  uint64_t timeout_us = 0;
  std::vector<uint64_t> cancelled_batch_ids;

  // Carries cancellations and nothing to compute or to answer.
  bool IsCancellationOnly() const { return batch_id == 0 && num_rows == 0 && expert_ids.empty(); }
};

// How much of what a peer may make us hold.
struct WireExpertBatchLimits {
  int64_t hidden_size = 0;
  size_t max_pairs = 65'536;  // of row_indices; num_rows likewise
  size_t max_groups = 65'536;
  size_t max_cancelled = 65'536;
};

// All of the message that comes before the bytes of `rows`, the last field: its tag and length
// (num_rows * hidden_size elements) included, so that header and rows side by side are the message.
std::string EncodeExpertBatchHeader(const WireExpertBatch& batch, size_t rows_bytes);

// Reads a message that any protobuf encoder may have made: fields in any order, packed or not, the
// last of a scalar's occurrences holds, unknown fields are skipped. *rows points into `message`.
// INVALID_ARGUMENT for bytes that are no such message, and for sizes that contradict each other or
// exceed `limits`; batch->batch_id then holds what was read of it, 0 if nothing was.
absl::Status DecodeExpertBatch(std::span<const Piece> message, const WireExpertBatchLimits& limits,
                               WireExpertBatch* batch, std::vector<Piece>* rows);

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_WIRE_EXPERT_BATCH_H_
