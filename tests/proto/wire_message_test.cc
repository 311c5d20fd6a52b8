#include <gtest/gtest.h>

#include <string>

#include "proto/wire/message.h"
#include "proto/wire/status.h"
#include "tests/proto/pieces.h"

namespace tramontane {
namespace {

std::span<const std::byte> Bytes(const std::string& text) { return std::as_bytes(std::span(text)); }

TEST(WireMessageTest, RefersToThePayloadAndReleasesItOnce) {
  const std::string payload(10'000, 'p');
  int released = 0;
  {
    grpc::ByteBuffer copy;
    {
      const grpc::ByteBuffer buffer =
          MakeMessage("header", Bytes(payload), [&released] { ++released; });
      const ReceivedMessage message(buffer);
      ASSERT_EQ(message.pieces().size(), 2u);
      EXPECT_EQ(Joined(message.pieces().first(1)), "header");
      EXPECT_EQ(message.pieces()[1].data(), Bytes(payload).data());
      copy = buffer;
    }
    EXPECT_EQ(released, 0);  // the copy still reads it
  }
  EXPECT_EQ(released, 1);
}

TEST(WireMessageTest, ReleasesAnEmptyPayloadAtOnce) {
  int released = 0;
  const grpc::ByteBuffer buffer = MakeMessage("header", {}, [&released] { ++released; });
  EXPECT_EQ(released, 1);
  EXPECT_EQ(Joined(ReceivedMessage(buffer).pieces()), "header");
}

TEST(WireMessageTest, StatusesKeepCodeAndMessage) {
  for (int code = 0; code <= 16; ++code) {
    const absl::Status status(static_cast<absl::StatusCode>(code), code == 0 ? "" : "why");
    EXPECT_EQ(FromGrpcStatus(ToGrpcStatus(status)), status);
  }
}

}  // namespace
}  // namespace tramontane
