// Fuzzes the expert hop's messages. The first byte says how the rest is cut into pieces and which
// message it is. What our decoder takes, protobuf's own must take with the same values, and our
// encoder must give bytes that protobuf reads so again.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "model/check.h"
#include "proto/expert.pb.h"
#include "proto/wire/expert_batch.h"
#include "proto/wire/expert_result.h"
#include "proto/wire/row_format.h"
#include "proto/wire/row_pointers.h"

namespace tramontane {
namespace {

constexpr size_t kMaxRows = 64;

// Every piece in an allocation of its own, so that a read beyond its end is seen.
class CutMessage {
 public:
  CutMessage(const uint8_t* bytes, size_t size, size_t piece_bytes) {
    for (size_t begin = 0; begin < size; begin += piece_bytes) {
      const size_t length = std::min(piece_bytes, size - begin);
      std::byte* copy = copies_.emplace_back(new std::byte[length]).get();
      std::transform(bytes + begin, bytes + begin + length, copy,
                     [](uint8_t byte) { return static_cast<std::byte>(byte); });
      pieces_.emplace_back(copy, length);
    }
  }
  std::span<const Piece> pieces() const { return pieces_; }

 private:
  std::vector<std::unique_ptr<std::byte[]>> copies_;
  std::vector<Piece> pieces_;
};

std::string Joined(const std::vector<Piece>& pieces) {
  std::string text;
  for (const Piece& piece : pieces) {
    text.append(reinterpret_cast<const char*>(piece.data()), piece.size());
  }
  return text;
}

template <typename Ours, typename Theirs>
void CheckEqual(const Ours& ours, const Theirs& theirs) {
  TRAMONTANE_CHECK(std::equal(ours.begin(), ours.end(), theirs.begin(), theirs.end(),
                              [](auto a, auto b) { return static_cast<uint64_t>(a) == b; }));
}

void CheckSame(const WireExpertBatch& batch, const std::string& rows,
               const v1::ExpertBatch& proto) {
  TRAMONTANE_CHECK(batch.batch_id == proto.batch_id());
  TRAMONTANE_CHECK(static_cast<uint32_t>(batch.layer) == proto.layer());
  TRAMONTANE_CHECK(!batch.row_dtype.has_value() ||
                   RowFormatNumber(batch.row_dtype) == static_cast<uint32_t>(proto.row_format()));
  TRAMONTANE_CHECK(static_cast<uint32_t>(batch.num_rows) == proto.num_rows());
  CheckEqual(batch.expert_ids, proto.expert_ids());
  CheckEqual(batch.rows_per_expert, proto.rows_per_expert());
  CheckEqual(batch.row_indices, proto.row_indices());
  TRAMONTANE_CHECK(batch.timeout_us == proto.timeout_us());
  CheckEqual(batch.cancelled_batch_ids, proto.cancelled_batch_ids());
  TRAMONTANE_CHECK(rows == proto.rows());
}

void FuzzBatch(const CutMessage& message, const uint8_t* bytes, size_t size) {
  WireExpertBatchLimits limits;
  limits.hidden_size = 2;
  limits.max_pairs = kMaxRows;
  limits.max_groups = kMaxRows;
  limits.max_cancelled = kMaxRows;
  WireExpertBatch batch;
  std::vector<Piece> payload;
  if (!DecodeExpertBatch(message.pieces(), limits, &batch, &payload).ok()) return;
  const std::string rows = Joined(payload);
  v1::ExpertBatch proto;
  TRAMONTANE_CHECK(proto.ParseFromArray(bytes, static_cast<int>(size)));
  CheckSame(batch, rows, proto);
  TRAMONTANE_CHECK(proto.ParseFromString(EncodeExpertBatchHeader(batch, rows.size()) + rows));
  CheckSame(batch, rows, proto);
  if (batch.IsCancellationOnly()) return;
  const size_t row_bytes = 2 * DTypeSize(*batch.row_dtype);
  const RowPointers located = LocateRows(payload, batch.num_rows, row_bytes);
  for (size_t row = 0; row < located.rows.size(); ++row) {
    TRAMONTANE_CHECK(std::equal(located.rows[row], located.rows[row] + row_bytes,
                                reinterpret_cast<const std::byte*>(rows.data()) + row * row_bytes));
  }
}

void CheckSame(const WireExpertResult& result, const std::string& rows,
               const v1::ExpertResult& proto) {
  TRAMONTANE_CHECK(result.batch_id == proto.batch_id());
  TRAMONTANE_CHECK(result.status.ok() == (proto.status_code() == 0));
  TRAMONTANE_CHECK(!result.row_dtype.has_value() ||
                   RowFormatNumber(result.row_dtype) == static_cast<uint32_t>(proto.row_format()));
  TRAMONTANE_CHECK(static_cast<uint32_t>(result.num_rows) == proto.num_rows());
  TRAMONTANE_CHECK(result.queue_us == proto.queue_us());
  TRAMONTANE_CHECK(result.compute_us == proto.compute_us());
  TRAMONTANE_CHECK(result.serialize_us == proto.serialize_us());
  TRAMONTANE_CHECK(rows == proto.rows());
}

void FuzzResult(const CutMessage& message, const uint8_t* bytes, size_t size) {
  WireExpertResult result;
  std::vector<Piece> payload;
  if (!DecodeExpertResult(message.pieces(), kMaxRows, &result, &payload).ok()) return;
  const std::string rows = Joined(payload);
  v1::ExpertResult proto;
  // Protobuf refuses a string that is not UTF-8; we need none, we only log it.
  const absl::string_view text = result.status.message();
  const bool ascii = std::all_of(text.begin(), text.end(), [](char c) { return c >= 0; });
  if (ascii && proto.ParseFromArray(bytes, static_cast<int>(size))) {
    CheckSame(result, rows, proto);
  }
  TRAMONTANE_CHECK(proto.ParseFromString(EncodeExpertResultHeader(result, rows.size()) + rows));
  CheckSame(result, rows, proto);
}

}  // namespace
}  // namespace tramontane

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  if (size == 0) return 0;
  const size_t piece_bytes = (bytes[0] & 0x7f) == 0 ? size : bytes[0] & 0x7f;
  const tramontane::CutMessage message(bytes + 1, size - 1, piece_bytes);
  if ((bytes[0] & 0x80) == 0) {
    tramontane::FuzzBatch(message, bytes + 1, size - 1);
  } else {
    tramontane::FuzzResult(message, bytes + 1, size - 1);
  }
  return 0;
}
