// Every field of the public API at its edges, through real calls: what is within works, what is
// outside is INVALID_ARGUMENT naming field, value and limit, and nothing harms the server.
#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/text_format.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "proto/inference.pb.h"
#include "tests/hostile/hostile_call.h"
#include "tests/hostile/mutation.h"
#include "tests/integration/api_edges.h"
#include "tests/integration/cluster.h"

namespace tramontane {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using testing::HasSubstr;

const google::protobuf::ServiceDescriptor& Service() {
  return *v1::GenerateRequest::descriptor()->file()->FindServiceByName("Inference");
}

// Of the messages that clients send, those inside of others too.
void AddFields(const Descriptor& message, std::map<std::string, const FieldDescriptor*>* fields) {
  for (int i = 0; i < message.field_count(); ++i) {
    const FieldDescriptor* field = message.field(i);
    (*fields)[field->full_name()] = field;
    if (field->message_type() != nullptr && !field->is_map()) {
      AddFields(*field->message_type(), fields);
    }
  }
}

std::map<std::string, const FieldDescriptor*> RequestFields() {
  std::map<std::string, const FieldDescriptor*> fields;
  for (int i = 0; i < Service().method_count(); ++i) {
    AddFields(*Service().method(i)->input_type(), &fields);
  }
  return fields;
}

// What `text` says, within a request that works otherwise.
std::unique_ptr<Message> Request(const std::string& method, const std::string& text) {
  std::string all = text;
  if (method == "Generate") {
    if (!absl::StrContains(text, "prompt:") && !absl::StrContains(text, "prompt_token_ids:") &&
        !absl::StrContains(text, "messages")) {
      absl::StrAppend(&all, " prompt_token_ids: [1, 2742, 868]");
    }
    if (!absl::StrContains(text, "max_tokens:")) absl::StrAppend(&all, " max_tokens: 2");
    if (!absl::StrContains(text, "temperature:")) absl::StrAppend(&all, " temperature: 0");
  }
  std::unique_ptr<Message> request = NewMessage(*Service().FindMethodByName(method)->input_type());
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(all, request.get())) << all;
  return request;
}

// One server for all: what one request did to it, the next would feel.
class ApiEdgesTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    ClusterOptions options;
    options.model = DemoModel();
    absl::StatusOr<std::unique_ptr<Cluster>> cluster = Cluster::Start(options);
    ASSERT_TRUE(cluster.ok()) << cluster.status();
    cluster_ = cluster->release();
    channel_ = new std::shared_ptr<grpc::Channel>(Connect(cluster_->coordinator().address));
  }
  static void TearDownTestSuite() {
    delete channel_;
    delete cluster_;
  }

  static grpc::Status Call(const std::string& method, const std::string& bytes) {
    CallScript script;
    script.path = absl::StrCat("/tramontane.v1.Inference/", method);
    script.messages = {bytes};
    script.deadline = absl::Minutes(2);
    return EndOfCall(*channel_, script);
  }

  static std::vector<uint32_t> KnownTokens() {
    v1::GenerateRequest request;
    request.set_prompt("Once upon a time");
    request.set_max_tokens(12);
    request.set_temperature(0);
    const absl::StatusOr<v1::GenerateResponse> answer = GenerateAll(cluster_->stub(), request);
    EXPECT_TRUE(answer.ok()) << answer.status();
    if (!answer.ok()) return {};
    return std::vector<uint32_t>(answer->token_ids().begin(), answer->token_ids().end());
  }

  static Cluster* cluster_;
  static std::shared_ptr<grpc::Channel>* channel_;
};

Cluster* ApiEdgesTest::cluster_ = nullptr;
std::shared_ptr<grpc::Channel>* ApiEdgesTest::channel_ = nullptr;

TEST_F(ApiEdgesTest, EveryFieldHasEdges) {
  std::set<std::string> known;
  for (const FieldEdges& edges : ApiEdges()) {
    EXPECT_TRUE(known.insert(edges.field).second) << edges.field << " is there twice";
    EXPECT_FALSE(edges.works.empty()) << edges.field << ": what works is missing";
    EXPECT_EQ(edges.refused.empty(), edges.takes_every_value)
        << edges.field << ": what is refused is missing";
  }
  for (const auto& [name, field] : RequestFields()) {
    EXPECT_EQ(known.erase(name), 1u) << name << ": add its edges to tests/integration/api_edges.cc";
  }
  EXPECT_THAT(known, testing::IsEmpty()) << "no such field";
}

TEST_F(ApiEdgesTest, WhatIsWithinWorks) {
  for (const FieldEdges& edges : ApiEdges()) {
    for (const std::string& text : edges.works) {
      const grpc::Status status =
          Call(edges.method, Request(edges.method, text)->SerializeAsString());
      EXPECT_TRUE(status.ok()) << edges.field << ", " << text.substr(0, 200) << ": "
                               << status.error_code() << ": " << status.error_message();
    }
  }
}

TEST_F(ApiEdgesTest, WhatIsOutsideNamesFieldValueAndLimit) {
  for (const FieldEdges& edges : ApiEdges()) {
    for (const RefusedEdge& edge : edges.refused) {
      SCOPED_TRACE(absl::StrCat(edges.field, ", ", edge.text.substr(0, 200)));
      const grpc::Status status =
          Call(edges.method, Request(edges.method, edge.text)->SerializeAsString());
      EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << status.error_message();
      for (const std::string& word : edge.words) {
        EXPECT_THAT(status.error_message(), HasSubstr(word));
      }
      EXPECT_LT(status.error_message().size(), 600u);
    }
  }
}

// Length-delimited, as protobuf writes strings and messages.
std::string Delimited(int number, const std::string& bytes) {
  return absl::StrCat(std::string(1, static_cast<char>(number << 3 | 2)),
                      std::string(1, static_cast<char>(bytes.size())), bytes);
}

// So many token ids 0, packed, in field `number`.
std::string Packed(int number, size_t count) {
  std::string length;
  for (size_t left = count; left > 0 || length.empty(); left /= 128) {
    length.push_back(static_cast<char>(left % 128 | (left >= 128 ? 128 : 0)));
  }
  return absl::StrCat(std::string(1, static_cast<char>(number << 3 | 2)), length,
                      std::string(count, '\0'));
}

TEST_F(ApiEdgesTest, TextThatIsNotUtf8IsInvalidInEveryString) {
  const std::string broken = "ab\xc3\x28";
  int count = 0;
  for (int m = 0; m < Service().method_count(); ++m) {
    const google::protobuf::MethodDescriptor& method = *Service().method(m);
    for (int i = 0; i < method.input_type()->field_count(); ++i) {
      const FieldDescriptor& field = *method.input_type()->field(i);
      std::vector<std::string> requests;
      if (field.type() == FieldDescriptor::TYPE_STRING) {
        requests.push_back(Delimited(field.number(), broken));
      }
      for (int j = 0; field.message_type() != nullptr && j < field.message_type()->field_count();
           ++j) {
        const FieldDescriptor& inner = *field.message_type()->field(j);
        if (inner.type() != FieldDescriptor::TYPE_STRING) continue;
        requests.push_back(Delimited(field.number(), Delimited(inner.number(), broken)));
      }
      for (const std::string& bytes : requests) {
        const grpc::Status status = Call(method.name(), bytes);
        EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << field.full_name();
        EXPECT_THAT(status.error_message(), HasSubstr("UTF-8")) << field.full_name();
        ++count;
      }
    }
  }
  EXPECT_GE(count, 7);
}

TEST_F(ApiEdgesTest, ARequestThatIsLargerThanMakesSenseIsRefusedUnread) {
  const std::string fits = Packed(1, 3'000'000);
  EXPECT_TRUE(Call("Detokenize", fits).ok());
  const grpc::Status status = Call("Detokenize", Packed(1, 5'000'000));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
}

// Extremes of every field that the table may not have thought of, alone and together.
TEST_F(ApiEdgesTest, NothingThatAFieldCanHoldHarmsTheServer) {
  const std::vector<uint32_t> before = KnownTokens();
  ASSERT_FALSE(before.empty());
  Random random(1);
  for (int m = 0; m < Service().method_count(); ++m) {
    const std::string method = Service().method(m)->name();
    for (int round = 0; round < 300; ++round) {
      const std::unique_ptr<Message> request =
          Request(method, method == "Tokenize" ? "text: 'a'" : "");
      MutateMessage(request.get(), random);
      const grpc::Status status = Call(method, request->SerializeAsString());
      EXPECT_TRUE(status.ok() || status.error_code() == grpc::StatusCode::INVALID_ARGUMENT)
          << method << ": " << status.error_code() << ": " << status.error_message() << "\n"
          << request->ShortDebugString().substr(0, 1000);
    }
  }
  EXPECT_EQ(KnownTokens(), before);
}

}  // namespace
}  // namespace tramontane
