// Bytes of calls: what is a message, and what its sender is told where it is none.
#include "proto/wire/call_message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "proto/inference.pb.h"

namespace tramontane {
namespace {

using testing::AllOf;
using testing::HasSubstr;

grpc::ByteBuffer Bytes(const std::string& text) {
  const grpc::Slice slice(text);
  return grpc::ByteBuffer(&slice, 1);
}

TEST(CallMessageTest, ComesBackAsItWas) {
  v1::TokenizeRequest request;
  request.set_text("Il \u00e9tait une fois");
  const grpc::ByteBuffer bytes = SerializeMessage(request);
  for (int time = 0; time < 2; ++time) {  // reading leaves the bytes where they are
    v1::TokenizeRequest parsed;
    ASSERT_TRUE(ParseMessage(bytes, &parsed).ok());
    EXPECT_EQ(parsed.text(), request.text());
  }
}

TEST(CallMessageTest, AnEmptyOneIsOne) {
  v1::GetModelRequest parsed;
  EXPECT_TRUE(ParseMessage(Bytes(""), &parsed).ok());
  EXPECT_TRUE(SerializeMessage(parsed).Valid());
  EXPECT_EQ(SerializeMessage(parsed).Length(), 0u);
}

TEST(CallMessageTest, OtherBytesAreNamedAndCounted) {
  for (const std::string& bytes : {std::string("\xff\xff\xff"),
                                   std::string("\x0a\x05"
                                               "a"),
                                   std::string("\x0a\x01\xff")}) {
    v1::TokenizeRequest parsed;
    const absl::Status status = ParseMessage(Bytes(bytes), &parsed);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr("tramontane.v1.TokenizeRequest"), HasSubstr("3 bytes"),
                      HasSubstr("proto/inference.proto"), HasSubstr("UTF-8")));
  }
}

TEST(CallMessageTest, NoMessageAtAllIsNone) {
  v1::GetModelRequest parsed;
  const absl::Status status = ParseMessage(grpc::ByteBuffer(), &parsed);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("there are none"));
}

}  // namespace
}  // namespace tramontane
