#include "proto/wire/message.h"

#include <memory>
#include <utility>

#include "model/check.h"

namespace tramontane {
namespace {

void Release(void* callback) {
  const std::unique_ptr<std::function<void()>> release(
      static_cast<std::function<void()>*>(callback));
  (*release)();
}

}  // namespace

grpc::ByteBuffer MakeMessage(const std::string& header, std::span<const std::byte> payload,
                             std::function<void()> release) {
  if (payload.empty()) {
    release();
    const grpc::Slice slice(header);
    return grpc::ByteBuffer(&slice, 1);
  }
  // gRPC does not write through the pointer; its API just has no const.
  const grpc::Slice slices[] = {
      grpc::Slice(header),
      grpc::Slice(const_cast<std::byte*>(payload.data()), payload.size(), &Release,
                  std::make_unique<std::function<void()>>(std::move(release)).release())};
  return grpc::ByteBuffer(slices, 2);
}

ReceivedMessage::ReceivedMessage(const grpc::ByteBuffer& buffer) {
  // Fails only for a compressed message that does not decompress: then it is empty, and no batch.
  if (!buffer.Dump(&slices_).ok()) slices_.clear();
  pieces_.reserve(slices_.size());
  for (const grpc::Slice& slice : slices_) {
    pieces_.emplace_back(reinterpret_cast<const std::byte*>(slice.begin()), slice.size());
  }
}

}  // namespace tramontane
