// One process holds gRPC's protobuf and SentencePiece's own; see the top CMakeLists.txt.
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/tokenizer.h"

namespace tramontane {
namespace {

google::protobuf::ListValue Message() {
  google::protobuf::ListValue message;
  for (int i = 0; i < 100; ++i) {
    message.add_values()->set_number_value(i);
    message.add_values()->mutable_list_value()->add_values()->set_string_value("upon a time");
  }
  return message;
}

TEST(ProtobufBesideSentencePieceTest, BothReadTheirOwnMessages) {
  const google::protobuf::ListValue message = Message();
  google::protobuf::ListValue before;
  ASSERT_TRUE(before.ParseFromString(message.SerializeAsString()));

  const absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer =
      Tokenizer::Load(TRAMONTANE_SOURCE_DIR "/deploy/demo_model", 4096);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const absl::StatusOr<std::vector<int>> ids = (*tokenizer)->Encode("Once upon a time");
  ASSERT_TRUE(ids.ok()) << ids.status();
  EXPECT_EQ(*ids, (std::vector<int>{2742, 868, 261, 586}));

  google::protobuf::ListValue after;
  ASSERT_TRUE(after.ParseFromString(message.SerializeAsString()));
  std::string json_before;
  std::string json_after;
  ASSERT_TRUE(google::protobuf::util::MessageToJsonString(before, &json_before).ok());
  ASSERT_TRUE(google::protobuf::util::MessageToJsonString(after, &json_after).ok());
  EXPECT_EQ(json_before, json_after);
}

}  // namespace
}  // namespace tramontane
