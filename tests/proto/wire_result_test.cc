// Our ExpertResult against protobuf's own, in both directions.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "proto/expert.pb.h"
#include "proto/wire/expert_result.h"
#include "tests/proto/pieces.h"

namespace tramontane {
namespace {

using ::testing::HasSubstr;

constexpr size_t kMaxRows = 16;

v1::ExpertResult SomeProto() {
  v1::ExpertResult result;
  result.set_batch_id(9);
  result.set_row_format(v1::ROW_FORMAT_F32);
  result.set_num_rows(3);
  result.set_queue_us(1'000);
  result.set_compute_us(2);
  result.set_serialize_us(UINT64_MAX);
  result.set_rows("not looked at here");
  return result;
}

absl::Status Decode(const std::string& bytes, WireExpertResult* result, std::string* rows,
                    size_t piece_bytes = 0) {
  const Pieces pieces(bytes, piece_bytes);
  std::vector<Piece> found;
  absl::Status status = DecodeExpertResult(pieces.get(), kMaxRows, result, &found);
  *rows = Joined(found);
  return status;
}

TEST(WireResultTest, EncodesTheBytesThatProtobufEncodes) {
  WireExpertResult result;
  result.batch_id = 9;
  result.row_dtype = DType::kF32;
  result.num_rows = 3;
  result.queue_us = 1'000;
  result.compute_us = 2;
  result.serialize_us = UINT64_MAX;
  const std::string rows = "not looked at here";
  EXPECT_EQ(EncodeExpertResultHeader(result, rows.size()) + rows, SomeProto().SerializeAsString());
}

TEST(WireResultTest, DecodesWhatProtobufEncodesHoweverItIsCut) {
  const std::string bytes = SomeProto().SerializeAsString();
  for (size_t piece_bytes = 0; piece_bytes <= bytes.size(); ++piece_bytes) {
    WireExpertResult result;
    std::string rows;
    ASSERT_TRUE(Decode(bytes, &result, &rows, piece_bytes).ok());
    EXPECT_EQ(result.batch_id, 9u);
    EXPECT_TRUE(result.status.ok());
    EXPECT_EQ(result.row_dtype, DType::kF32);
    EXPECT_EQ(result.num_rows, 3);
    EXPECT_EQ(result.queue_us, 1'000u);
    EXPECT_EQ(result.compute_us, 2u);
    EXPECT_EQ(result.serialize_us, UINT64_MAX);
    EXPECT_EQ(rows, "not looked at here");
  }
}

TEST(WireResultTest, CarriesAnError) {
  WireExpertResult sent;
  sent.batch_id = 4;
  sent.status = absl::ResourceExhaustedError("full");
  WireExpertResult result;
  std::string rows;
  ASSERT_TRUE(Decode(EncodeExpertResultHeader(sent, 0), &result, &rows).ok());
  EXPECT_EQ(result.status, absl::ResourceExhaustedError("full"));
}

TEST(WireResultTest, AnErrorThatNobodyKnowsIsUnknown) {
  v1::ExpertResult proto;
  proto.set_batch_id(1);
  proto.set_status_code(4'000);
  WireExpertResult result;
  std::string rows;
  ASSERT_TRUE(Decode(proto.SerializeAsString(), &result, &rows).ok());
  EXPECT_EQ(result.status.code(), absl::StatusCode::kUnknown);
}

TEST(WireResultTest, StatusMessagesStayValidForEveryProtobufReader) {
  WireExpertResult sent;
  sent.batch_id = 4;
  sent.status = absl::InternalError(std::string("a\xff\nb", 4) + std::string(5'000, 'c'));
  v1::ExpertResult proto;
  ASSERT_TRUE(proto.ParseFromString(EncodeExpertResultHeader(sent, 0)));
  EXPECT_THAT(proto.status_message(), HasSubstr("a??bccc"));
  EXPECT_EQ(proto.status_message().size(), kMaxStatusMessageBytes);
}

TEST(WireResultTest, CutsALongMessageAndReadsOn) {
  v1::ExpertResult proto;
  proto.set_status_code(13);
  proto.set_status_message(std::string(100'000, 'x'));
  proto.set_queue_us(77);
  WireExpertResult result;
  std::string rows;
  ASSERT_TRUE(Decode(proto.SerializeAsString(), &result, &rows, 999).ok());
  EXPECT_EQ(result.status.message().size(), kMaxStatusMessageBytes);
  EXPECT_EQ(result.queue_us, 77u);
}

TEST(WireResultTest, RefusesRowsBesideAnError) {
  v1::ExpertResult proto = SomeProto();
  proto.set_status_code(13);
  WireExpertResult result;
  std::string rows;
  EXPECT_EQ(Decode(proto.SerializeAsString(), &result, &rows).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(result.batch_id, 9u);
}

TEST(WireResultTest, RefusesMoreRowsThanTheLimit) {
  v1::ExpertResult proto = SomeProto();
  proto.set_num_rows(kMaxRows + 1);
  WireExpertResult result;
  std::string rows;
  EXPECT_THAT(std::string(Decode(proto.SerializeAsString(), &result, &rows).message()),
              HasSubstr("num_rows is 17; the limit is 16"));
}

}  // namespace
}  // namespace tramontane
