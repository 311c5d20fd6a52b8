// Our ExpertBatch against protobuf's own, in both directions.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "proto/expert.pb.h"
#include "proto/wire/expert_batch.h"
#include "tests/proto/pieces.h"

namespace tramontane {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int kHiddenSize = 4;
const WireExpertBatchLimits kLimits{
    .hidden_size = kHiddenSize, .max_pairs = 64, .max_groups = 64, .max_cancelled = 8};

std::string SomeRows(int num_rows) {
  std::string rows;
  for (int i = 0; i < num_rows * kHiddenSize * 2; ++i) rows.push_back(static_cast<char>(i));
  return rows;
}

WireExpertBatch SomeBatch() {
  WireExpertBatch batch;
  batch.batch_id = uint64_t{1} << 60;
  batch.layer = 300;
  batch.row_dtype = DType::kBF16;
  batch.num_rows = 2;
  batch.expert_ids = {3, 200};
  batch.rows_per_expert = {2, 1};
  batch.row_indices = {0, 1, 1};
  batch.timeout_us = 5'000'000;
  batch.cancelled_batch_ids = {7, UINT64_MAX};
  return batch;
}

v1::ExpertBatch SomeProto() {
  v1::ExpertBatch batch;
  batch.set_batch_id(uint64_t{1} << 60);
  batch.set_layer(300);
  batch.set_row_format(v1::ROW_FORMAT_BF16);
  batch.set_num_rows(2);
  for (const uint32_t id : {3, 200}) batch.add_expert_ids(id);
  for (const uint32_t count : {2, 1}) batch.add_rows_per_expert(count);
  for (const uint32_t row : {0, 1, 1}) batch.add_row_indices(row);
  batch.set_timeout_us(5'000'000);
  batch.add_cancelled_batch_ids(7);
  batch.add_cancelled_batch_ids(UINT64_MAX);
  batch.set_rows(SomeRows(2));
  return batch;
}

void ExpectIsSomeBatch(const WireExpertBatch& batch) {
  const WireExpertBatch expected = SomeBatch();
  EXPECT_EQ(batch.batch_id, expected.batch_id);
  EXPECT_EQ(batch.layer, expected.layer);
  EXPECT_EQ(batch.row_dtype, expected.row_dtype);
  EXPECT_EQ(batch.num_rows, expected.num_rows);
  EXPECT_EQ(batch.expert_ids, expected.expert_ids);
  EXPECT_EQ(batch.rows_per_expert, expected.rows_per_expert);
  EXPECT_EQ(batch.row_indices, expected.row_indices);
  EXPECT_EQ(batch.timeout_us, expected.timeout_us);
  EXPECT_EQ(batch.cancelled_batch_ids, expected.cancelled_batch_ids);
}

struct Decoded {
  absl::Status status;
  WireExpertBatch batch;
  std::string rows;
};

Decoded Decode(const std::string& bytes, size_t piece_bytes = 0) {
  const Pieces pieces(bytes, piece_bytes);
  Decoded decoded;
  std::vector<Piece> rows;
  decoded.status = DecodeExpertBatch(pieces.get(), kLimits, &decoded.batch, &rows);
  decoded.rows = Joined(rows);
  return decoded;
}

std::string Refusal(const std::string& bytes) {
  const Decoded decoded = Decode(bytes);
  EXPECT_EQ(decoded.status.code(), absl::StatusCode::kInvalidArgument);
  return std::string(decoded.status.message());
}

TEST(WireBatchTest, EncodesTheBytesThatProtobufEncodes) {
  const std::string rows = SomeRows(2);
  EXPECT_EQ(EncodeExpertBatchHeader(SomeBatch(), rows.size()) + rows,
            SomeProto().SerializeAsString());
}

TEST(WireBatchTest, DecodesWhatProtobufEncodesHoweverItIsCut) {
  const std::string bytes = SomeProto().SerializeAsString();
  for (size_t piece_bytes = 0; piece_bytes <= bytes.size(); ++piece_bytes) {
    const Decoded decoded = Decode(bytes, piece_bytes);
    ASSERT_TRUE(decoded.status.ok()) << decoded.status;
    ExpectIsSomeBatch(decoded.batch);
    EXPECT_EQ(decoded.rows, SomeRows(2));
  }
}

TEST(WireBatchTest, LeavesTheRowsWhereTheyLie) {
  const Pieces pieces(SomeProto().SerializeAsString());
  WireExpertBatch batch;
  std::vector<Piece> rows;
  ASSERT_TRUE(DecodeExpertBatch(pieces.get(), kLimits, &batch, &rows).ok());
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].data() + rows[0].size(), pieces.get()[0].data() + pieces.get()[0].size());
}

TEST(WireBatchTest, TakesFieldsInAnyOrderRowsFirst) {
  v1::ExpertBatch rows_only;
  rows_only.set_rows(SomeRows(2));
  v1::ExpertBatch others = SomeProto();
  others.clear_rows();
  const Decoded decoded = Decode(rows_only.SerializeAsString() + others.SerializeAsString());
  ASSERT_TRUE(decoded.status.ok()) << decoded.status;
  ExpectIsSomeBatch(decoded.batch);
  EXPECT_EQ(decoded.rows, SomeRows(2));
}

TEST(WireBatchTest, TakesRepeatedFieldsThatAreNotPacked) {
  v1::ExpertBatch batch = SomeProto();
  batch.clear_expert_ids();
  batch.clear_row_indices();
  std::string bytes = batch.SerializeAsString();
  bytes += std::string("\x28\x03\x28\xc8\x01", 5);      // expert_ids: 3, 200
  bytes += std::string("\x38\x00\x3a\x02\x01\x01", 6);  // row_indices: 0, then packed 1, 1
  const Decoded decoded = Decode(bytes);
  ASSERT_TRUE(decoded.status.ok()) << decoded.status;
  ExpectIsSomeBatch(decoded.batch);
}

TEST(WireBatchTest, SkipsUnknownFieldsOfEveryWireType) {
  std::string unknown;
  unknown += std::string("\xa0\x06\x01", 3);                    // 100: varint
  unknown += std::string("\xa1\x06", 2) + std::string(8, 'x');  // 100: fixed64
  unknown += std::string("\xa2\x06\x03", 3) + "abc";            // 100: bytes
  unknown += std::string("\xa3\x06\x08\x01\xa4\x06", 6);        // 100: group
  unknown += std::string("\xa5\x06", 2) + std::string(4, 'x');  // 100: fixed32
  const Decoded decoded = Decode(unknown + SomeProto().SerializeAsString() + unknown);
  ASSERT_TRUE(decoded.status.ok()) << decoded.status;
  ExpectIsSomeBatch(decoded.batch);
}

TEST(WireBatchTest, TheLastOccurrenceOfAScalarHolds) {
  v1::ExpertBatch earlier;
  earlier.set_layer(5);
  earlier.set_rows("other rows");
  const Decoded decoded = Decode(earlier.SerializeAsString() + SomeProto().SerializeAsString());
  ASSERT_TRUE(decoded.status.ok()) << decoded.status;
  ExpectIsSomeBatch(decoded.batch);
}

TEST(WireBatchTest, AMessageMayCarryCancellationsOnly) {
  v1::ExpertBatch batch;
  batch.add_cancelled_batch_ids(9);
  const Decoded decoded = Decode(batch.SerializeAsString());
  ASSERT_TRUE(decoded.status.ok()) << decoded.status;
  EXPECT_TRUE(decoded.batch.IsCancellationOnly());
  EXPECT_THAT(decoded.batch.cancelled_batch_ids, ElementsAre(9));
}

TEST(WireBatchTest, RefusesRowsOfAnotherSizeThanClaimed) {
  v1::ExpertBatch batch = SomeProto();
  batch.set_rows(SomeRows(2) + "x");
  EXPECT_THAT(Refusal(batch.SerializeAsString()), HasSubstr("rows has 17 bytes; expected"));
}

TEST(WireBatchTest, RefusesMoreRowsThanTheLimit) {
  v1::ExpertBatch batch = SomeProto();
  batch.set_num_rows(65);
  EXPECT_THAT(Refusal(batch.SerializeAsString()), HasSubstr("num_rows is 65; the limit is 64"));
}

TEST(WireBatchTest, RefusesMorePairsThanTheLimit) {
  v1::ExpertBatch batch = SomeProto();
  for (int i = 0; i < 62; ++i) batch.add_row_indices(0);
  EXPECT_THAT(Refusal(batch.SerializeAsString()), HasSubstr("row_indices has more than 64"));
}

TEST(WireBatchTest, RefusesARowIndexOutOfRange) {
  v1::ExpertBatch batch = SomeProto();
  batch.set_row_indices(1, 2);
  EXPECT_THAT(Refusal(batch.SerializeAsString()), HasSubstr("row_indices[1] is 2"));
}

TEST(WireBatchTest, RefusesGroupsThatDoNotAddUp) {
  v1::ExpertBatch batch = SomeProto();
  batch.set_rows_per_expert(0, 5);
  EXPECT_THAT(Refusal(batch.SerializeAsString()), HasSubstr("sums to 6"));
}

TEST(WireBatchTest, RefusesAnUnknownRowFormat) {
  v1::ExpertBatch batch = SomeProto();
  batch.set_row_format(static_cast<v1::RowFormat>(9));
  EXPECT_THAT(Refusal(batch.SerializeAsString()), HasSubstr("row_format"));
}

TEST(WireBatchTest, RefusesABatchWithoutAnId) {
  v1::ExpertBatch batch = SomeProto();
  batch.clear_batch_id();
  EXPECT_THAT(Refusal(batch.SerializeAsString()), HasSubstr("batch_id"));
}

TEST(WireBatchTest, RefusesANegativeEnumOrIndex) {
  // row_indices: one value of ten bytes, as a negative int32 would be written.
  const std::string bytes = SomeProto().SerializeAsString() +
                            std::string("\x38\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11);
  EXPECT_THAT(Refusal(bytes), HasSubstr("row_indices is 18446744073709551615"));
}

TEST(WireBatchTest, ATruncationThatTouchesTheRowsIsRefusedWithTheIdThatWasRead) {
  const std::string bytes = SomeProto().SerializeAsString();
  for (size_t length = bytes.size() - SomeRows(2).size(); length < bytes.size(); ++length) {
    const Decoded decoded = Decode(bytes.substr(0, length), 5);
    ASSERT_EQ(decoded.status.code(), absl::StatusCode::kInvalidArgument) << length;
    ASSERT_EQ(decoded.batch.batch_id, SomeBatch().batch_id) << length;
  }
}

TEST(WireBatchTest, NoTruncationPassesForTheWholeBatch) {
  // Cut between two fields the bytes are a message still, but one without rows: its sizes
  // contradict each other, or it has nothing to compute and the executor refuses it.
  const std::string bytes = SomeProto().SerializeAsString();
  for (size_t length = 1; length < bytes.size(); ++length) {
    const Decoded decoded = Decode(bytes.substr(0, length), 5);
    ASSERT_TRUE(!decoded.status.ok() || decoded.batch.expert_ids.empty()) << length;
  }
}

}  // namespace
}  // namespace tramontane
