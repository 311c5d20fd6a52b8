#include "proto/wire/expert_batch.h"

#include "absl/strings/str_cat.h"
#include "proto/wire/field_coding.h"
#include "proto/wire/row_format.h"

namespace tramontane {
namespace {

using wire_internal::AppendPacked;
using wire_internal::AppendScalar;
using wire_internal::AppendTag;
using wire_internal::AppendVarint;
using wire_internal::IsRepeatedType;
using wire_internal::ReadRepeated;
using wire_internal::ReadScalar;

// Field numbers of proto/expert.proto.
enum : uint32_t {
  kBatchId = 1,
  kLayer = 2,
  kRowFormat = 3,
  kNumRows = 4,
  kExpertIds = 5,
  kRowsPerExpert = 6,
  kRowIndices = 7,
  kTimeoutUs = 8,
  kCancelledBatchIds = 9,
  kRows = 15,
};

absl::Status ReadScalarField(PieceReader& reader, uint32_t field,
                             const WireExpertBatchLimits& limits, WireExpertBatch* batch) {
  switch (field) {
    case kBatchId:
      return ReadScalar(reader, "batch_id", UINT64_MAX, &batch->batch_id);
    case kLayer:
      return ReadScalar(reader, "layer", INT32_MAX, &batch->layer);
    case kNumRows:
      return ReadScalar(reader, "num_rows", limits.max_pairs, &batch->num_rows);
    case kTimeoutUs:
      return ReadScalar(reader, "timeout_us", UINT64_MAX, &batch->timeout_us);
    case kRowFormat: {
      uint64_t number = 0;
      if (absl::Status s = reader.ReadVarint(&number); !s.ok()) return s;
      batch->row_dtype = RowFormatDType(number);
      return absl::OkStatus();
    }
    default:
      return reader.SkipField(field, WireType::kVarint);
  }
}

absl::Status ReadField(PieceReader& reader, uint32_t field, WireType type,
                       const WireExpertBatchLimits& limits, WireExpertBatch* batch,
                       std::vector<Piece>* rows) {
  if (field == kRows && type == WireType::kLength) {
    size_t length = 0;
    if (absl::Status s = reader.ReadLength(&length); !s.ok()) return s;
    return reader.Take(length, rows);
  }
  if (IsRepeatedType(type)) {
    switch (field) {
      case kExpertIds:
        return ReadRepeated(reader, type, "expert_ids", INT32_MAX, limits.max_groups,
                            &batch->expert_ids);
      case kRowsPerExpert:
        return ReadRepeated(reader, type, "rows_per_expert", INT32_MAX, limits.max_groups,
                            &batch->rows_per_expert);
      case kRowIndices:
        return ReadRepeated(reader, type, "row_indices", INT32_MAX, limits.max_pairs,
                            &batch->row_indices);
      case kCancelledBatchIds:
        return ReadRepeated(reader, type, "cancelled_batch_ids", UINT64_MAX, limits.max_cancelled,
                            &batch->cancelled_batch_ids);
      default:
        break;
    }
  }
  if (type == WireType::kVarint) return ReadScalarField(reader, field, limits, batch);
  return reader.SkipField(field, type);
}

absl::Status CheckSizes(const WireExpertBatch& batch, const WireExpertBatchLimits& limits,
                        const std::vector<Piece>& rows) {
  size_t rows_bytes = 0;
  for (const Piece& piece : rows) rows_bytes += piece.size();
  if (batch.IsCancellationOnly()) {
    if (rows_bytes == 0) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(
        "rows has ", rows_bytes, " bytes, but num_rows is 0 and there are no experts"));
  }
  if (batch.batch_id == 0) return absl::InvalidArgumentError("batch_id is 0 or missing");
  if (!batch.row_dtype.has_value()) {
    return absl::InvalidArgumentError(
        "row_format is missing or unknown; expected ROW_FORMAT_BF16 or ROW_FORMAT_F32");
  }
  const size_t row_bytes = static_cast<size_t>(limits.hidden_size) * DTypeSize(*batch.row_dtype);
  if (rows_bytes != static_cast<size_t>(batch.num_rows) * row_bytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "rows has ", rows_bytes, " bytes; expected num_rows * hidden_size * element size = ",
        batch.num_rows, " * ", limits.hidden_size, " * ", DTypeSize(*batch.row_dtype), " = ",
        static_cast<size_t>(batch.num_rows) * row_bytes));
  }
  if (batch.rows_per_expert.size() != batch.expert_ids.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("expert_ids has ", batch.expert_ids.size(), " entries, rows_per_expert ",
                     batch.rows_per_expert.size(), "; expected equally many"));
  }
  int64_t pairs = 0;
  for (const int32_t count : batch.rows_per_expert) pairs += count;
  if (pairs != static_cast<int64_t>(batch.row_indices.size())) {
    return absl::InvalidArgumentError(absl::StrCat("rows_per_expert sums to ", pairs,
                                                   ", row_indices has ", batch.row_indices.size(),
                                                   " entries; expected equality"));
  }
  for (size_t i = 0; i < batch.row_indices.size(); ++i) {
    if (batch.row_indices[i] >= batch.num_rows) {
      return absl::InvalidArgumentError(absl::StrCat("row_indices[", i, "] is ",
                                                     batch.row_indices[i], "; the batch has ",
                                                     batch.num_rows, " rows"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::string EncodeExpertBatchHeader(const WireExpertBatch& batch, size_t rows_bytes) {
  std::string header;
  header.reserve(64 + 2 * (batch.expert_ids.size() + batch.rows_per_expert.size()) +
                 3 * batch.row_indices.size());
  AppendScalar(kBatchId, batch.batch_id, header);
  AppendScalar(kLayer, static_cast<uint64_t>(batch.layer), header);
  AppendScalar(kRowFormat, RowFormatNumber(batch.row_dtype), header);
  AppendScalar(kNumRows, static_cast<uint64_t>(batch.num_rows), header);
  AppendPacked(kExpertIds, batch.expert_ids, header);
  AppendPacked(kRowsPerExpert, batch.rows_per_expert, header);
  AppendPacked(kRowIndices, batch.row_indices, header);
  AppendScalar(kTimeoutUs, batch.timeout_us, header);
  AppendPacked(kCancelledBatchIds, batch.cancelled_batch_ids, header);
  if (rows_bytes > 0) {
    AppendTag(kRows, WireType::kLength, header);
    AppendVarint(rows_bytes, header);
  }
  return header;
}

absl::Status DecodeExpertBatch(std::span<const Piece> message, const WireExpertBatchLimits& limits,
                               WireExpertBatch* batch, std::vector<Piece>* rows) {
  *batch = WireExpertBatch();
  rows->clear();
  PieceReader reader(message);
  while (reader.remaining() > 0) {
    uint32_t field = 0;
    WireType type = WireType::kVarint;
    if (absl::Status s = reader.ReadTag(&field, &type); !s.ok()) return s;
    if (absl::Status s = ReadField(reader, field, type, limits, batch, rows); !s.ok()) return s;
  }
  return CheckSizes(*batch, limits, *rows);
}

}  // namespace tramontane
