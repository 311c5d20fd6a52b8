// Fields that are repeated too often are told from the bytes alone.
#include "proto/wire/field_counts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "proto/inference.pb.h"
#include "proto/wire/call_message.h"

namespace tramontane {
namespace {

constexpr FieldLimit kLimits[] = {{v1::GenerateRequest::kMessagesFieldNumber, "messages", 3},
                                  {v1::GenerateRequest::kStopFieldNumber, "stop", 2}};

grpc::ByteBuffer Request(int num_messages, int num_stops) {
  v1::GenerateRequest request;
  for (int i = 0; i < num_messages; ++i) request.add_messages();
  for (int i = 0; i < num_stops; ++i) request.add_stop("x");
  request.set_prompt("Once");
  for (uint32_t i = 0; i < 100; ++i) (*request.mutable_logit_bias())[i] = 1;
  return SerializeMessage(request);
}

TEST(FieldCountsTest, AsManyAsAllowedAreAllowed) {
  EXPECT_TRUE(CheckFieldCounts(Request(3, 2), kLimits).ok());
  EXPECT_TRUE(CheckFieldCounts(Request(0, 0), kLimits).ok());
}

TEST(FieldCountsTest, OneMoreIsNamedWithCountAndLimit) {
  const absl::Status messages = CheckFieldCounts(Request(4, 2), kLimits);
  EXPECT_EQ(messages.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(messages.message(), "messages has 4 entries; expected at most 3");
  EXPECT_EQ(CheckFieldCounts(Request(3, 7), kLimits).message(),
            "stop has 7 entries; expected at most 2");
}

TEST(FieldCountsTest, CountsAcrossSlices) {
  const std::string entry("\x1a\x00", 2);  // an empty ChatMessage
  std::vector<grpc::Slice> slices;
  for (int i = 0; i < 4; ++i) {
    slices.emplace_back(entry.substr(0, 1));
    slices.emplace_back(entry.substr(1));
  }
  EXPECT_FALSE(CheckFieldCounts(grpc::ByteBuffer(slices.data(), 8), kLimits).ok());
  EXPECT_TRUE(CheckFieldCounts(grpc::ByteBuffer(slices.data(), 6), kLimits).ok());
}

TEST(FieldCountsTest, WhatIsNoMessageIsForTheParserToRefuse) {
  for (const std::string& bytes :
       {std::string("\xff\xff\xff"), std::string("\x1a\x05"), std::string("\x00", 1)}) {
    const grpc::Slice slice(bytes);
    EXPECT_TRUE(CheckFieldCounts(grpc::ByteBuffer(&slice, 1), kLimits).ok());
  }
  EXPECT_TRUE(CheckFieldCounts(grpc::ByteBuffer(), kLimits).ok());
}

}  // namespace
}  // namespace tramontane
