#include "kernels/cuda/weight_stream.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/cuda/memory.h"

namespace tramontane::cuda {
namespace {

constexpr int64_t kSideBytes = int64_t{16} << 20;

int64_t RowBytes(const TensorView& tensor) {
  return tensor.shape[1] * static_cast<int64_t>(DTypeSize(tensor.dtype));
}

}  // namespace

WeightStream::~WeightStream() {
  for (const Side& side : sides_) {
    if (side.free == nullptr) continue;
    (void)cudaEventSynchronize(side.free);
    (void)cudaEventDestroy(side.free);
  }
}

absl::Status WeightStream::DeviceStatus() const {
  if (!context_.failed()) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("loading weights: ", context_.failed_call(), ": ",
                                          cudaGetErrorString(context_.error())));
}

absl::Status WeightStream::Prepare() {
  for (Side& side : sides_) {
    if (side.free != nullptr) continue;
    absl::StatusOr<Buffer> pinned = AllocatePinned(kSideBytes);
    if (!pinned.ok()) return pinned.status();
    absl::StatusOr<Buffer> device = AllocateDevice(kSideBytes);
    if (!device.ok()) return device.status();
    side.pinned = *std::move(pinned);
    side.device = *std::move(device);
    context_.Check(cudaEventCreateWithFlags(&side.free, cudaEventDisableTiming),
                   "creating an event");
  }
  return DeviceStatus();
}

WeightStream::Side& WeightStream::Next() {
  turn_ = 1 - turn_;
  Side& side = sides_[static_cast<size_t>(turn_)];
  context_.Check(cudaEventSynchronize(side.free), "waiting for weights");
  return side;
}

absl::Status WeightStream::Pack(const TensorView& tensor, RowPlacement placement, int64_t first_row,
                                int64_t padded_in_features, std::byte* packed) {
  if (const absl::Status prepared = Prepare(); !prepared.ok()) return prepared;
  const int64_t row_bytes = RowBytes(tensor);
  // A row longer than a side would need another way; no model has rows of 16 MiB.
  if (row_bytes > kSideBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("expected rows of at most ", kSideBytes, " bytes, found ", row_bytes));
  }
  const int64_t rows_at_once = kSideBytes / row_bytes;
  for (int64_t row = 0; row < tensor.shape[0]; row += rows_at_once) {
    Side& side = Next();
    const int64_t count = std::min(rows_at_once, tensor.shape[0] - row);
    std::memcpy(side.pinned.bytes(), tensor.bytes + row * row_bytes,
                static_cast<size_t>(count * row_bytes));
    context_.QueueCopy("copying weights", side.device.bytes(), side.pinned.bytes(),
                       static_cast<size_t>(count * row_bytes));
    LaunchPackRows(context_,
                   {side.device.bytes(), packed, tensor.dtype, context_.compute_dtype, placement,
                    first_row + row, count, tensor.shape[1], padded_in_features});
    context_.Record(side.free);  // no product behind it reads weights that it still writes, too
  }
  return DeviceStatus();
}

absl::Status WeightStream::CopyBytes(const TensorView& tensor, std::byte* to) {
  if (const absl::Status prepared = Prepare(); !prepared.ok()) return prepared;
  const auto num_bytes = static_cast<int64_t>(tensor.num_bytes());
  for (int64_t done = 0; done < num_bytes; done += kSideBytes) {
    Side& side = Next();
    const auto count = static_cast<size_t>(std::min(kSideBytes, num_bytes - done));
    std::memcpy(side.pinned.bytes(), tensor.bytes + done, count);
    context_.QueueCopy("copying weights", to + done, side.pinned.bytes(), count);
    context_.Record(side.free);
  }
  return DeviceStatus();
}

}  // namespace tramontane::cuda
