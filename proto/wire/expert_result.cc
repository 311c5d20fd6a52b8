#include "proto/wire/expert_result.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "proto/wire/field_coding.h"
#include "proto/wire/row_format.h"

namespace tramontane {
namespace {

using wire_internal::AppendScalar;
using wire_internal::AppendTag;
using wire_internal::AppendVarint;
using wire_internal::ReadScalar;

// Field numbers of proto/expert.proto.
enum : uint32_t {
  kBatchId = 1,
  kStatusCode = 2,
  kStatusMessage = 3,
  kRowFormat = 4,
  kNumRows = 5,
  kQueueUs = 6,
  kComputeUs = 7,
  kSerializeUs = 8,
  kDraining = 9,
  kRows = 15,
};

std::string PrintableMessage(absl::string_view message) {
  std::string text(message.substr(0, kMaxStatusMessageBytes));
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c < 0x20 || c > 0x7e; }, '?');
  return text;
}

// What the status is made of; the two fields may come in either order.
struct StatusFields {
  uint32_t code = 0;
  std::string message;
};

absl::Status ReadMessage(PieceReader& reader, std::string* message) {
  size_t length = 0;
  if (absl::Status s = reader.ReadLength(&length); !s.ok()) return s;
  const size_t kept = std::min(length, kMaxStatusMessageBytes);
  std::vector<Piece> pieces;
  if (absl::Status s = reader.Take(kept, &pieces); !s.ok()) return s;
  message->clear();
  for (const Piece& piece : pieces) {
    message->append(reinterpret_cast<const char*>(piece.data()), piece.size());
  }
  return reader.Skip(length - kept);
}

absl::Status ReadScalarField(PieceReader& reader, uint32_t field, size_t max_rows,
                             WireExpertResult* result, StatusFields* status) {
  switch (field) {
    case kBatchId:
      return ReadScalar(reader, "batch_id", UINT64_MAX, &result->batch_id);
    case kStatusCode:
      return ReadScalar(reader, "status_code", UINT32_MAX, &status->code);
    case kNumRows:
      return ReadScalar(reader, "num_rows", max_rows, &result->num_rows);
    case kQueueUs:
      return ReadScalar(reader, "queue_us", UINT64_MAX, &result->queue_us);
    case kComputeUs:
      return ReadScalar(reader, "compute_us", UINT64_MAX, &result->compute_us);
    case kSerializeUs:
      return ReadScalar(reader, "serialize_us", UINT64_MAX, &result->serialize_us);
    case kDraining: {
      uint64_t number = 0;
      if (absl::Status s = reader.ReadVarint(&number); !s.ok()) return s;
      result->draining = number != 0;
      return absl::OkStatus();
    }
    case kRowFormat: {
      uint64_t number = 0;
      if (absl::Status s = reader.ReadVarint(&number); !s.ok()) return s;
      result->row_dtype = RowFormatDType(number);
      return absl::OkStatus();
    }
    default:
      return reader.SkipField(field, WireType::kVarint);
  }
}

absl::Status ReadField(PieceReader& reader, uint32_t field, WireType type, size_t max_rows,
                       WireExpertResult* result, StatusFields* status, std::vector<Piece>* rows) {
  if (type == WireType::kVarint) return ReadScalarField(reader, field, max_rows, result, status);
  if (type == WireType::kLength && field == kStatusMessage) {
    return ReadMessage(reader, &status->message);
  }
  if (type == WireType::kLength && field == kRows) {
    size_t length = 0;
    if (absl::Status s = reader.ReadLength(&length); !s.ok()) return s;
    return reader.Take(length, rows);
  }
  return reader.SkipField(field, type);
}

}  // namespace

std::string EncodeExpertResultHeader(const WireExpertResult& result, size_t rows_bytes) {
  std::string header;
  header.reserve(64 + result.status.message().size());
  AppendScalar(kBatchId, result.batch_id, header);
  if (!result.status.ok()) {
    AppendScalar(kStatusCode, static_cast<uint64_t>(result.status.code()), header);
    const std::string message = PrintableMessage(result.status.message());
    if (!message.empty()) {
      AppendTag(kStatusMessage, WireType::kLength, header);
      AppendVarint(message.size(), header);
      header += message;
    }
  }
  AppendScalar(kRowFormat, RowFormatNumber(result.row_dtype), header);
  AppendScalar(kNumRows, static_cast<uint64_t>(result.num_rows), header);
  AppendScalar(kQueueUs, result.queue_us, header);
  AppendScalar(kComputeUs, result.compute_us, header);
  AppendScalar(kSerializeUs, result.serialize_us, header);
  AppendScalar(kDraining, result.draining ? 1 : 0, header);
  if (rows_bytes > 0) {
    AppendTag(kRows, WireType::kLength, header);
    AppendVarint(rows_bytes, header);
  }
  return header;
}

absl::Status DecodeExpertResult(std::span<const Piece> message, size_t max_rows,
                                WireExpertResult* result, std::vector<Piece>* rows) {
  *result = WireExpertResult();
  rows->clear();
  StatusFields status;
  PieceReader reader(message);
  while (reader.remaining() > 0) {
    uint32_t field = 0;
    WireType type = WireType::kVarint;
    if (absl::Status s = reader.ReadTag(&field, &type); !s.ok()) return s;
    if (absl::Status s = ReadField(reader, field, type, max_rows, result, &status, rows); !s.ok()) {
      return s;
    }
  }
  if (status.code == 0) return absl::OkStatus();
  // google.rpc.Code and absl::StatusCode have the same numbers; one that is not known is UNKNOWN.
  result->status = absl::Status(
      status.code <= 16 ? static_cast<absl::StatusCode>(status.code) : absl::StatusCode::kUnknown,
      status.message);
  if (!rows->empty() || result->num_rows != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("the answer holds rows beside the error ", result->status.ToString()));
  }
  return absl::OkStatus();
}

}  // namespace tramontane
