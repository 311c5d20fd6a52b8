// The public API over loopback: the bundled model, experts in process, float32.
#include "coordinator/grpc/inference_service.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "coordinator/generate/json_output.h"
#include "tests/attention_worker/grpc/metric_values.h"
#include "tests/coordinator/demo_model.h"
#include "tests/coordinator/grpc/demo_server.h"
#include "tests/hostile/hostile_call.h"

namespace tramontane {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

struct Answer {
  grpc::Status status;
  v1::GenerateResponse all;
  std::vector<v1::GenerateResponse> messages;
};

Answer Generate(v1::Inference::Stub& stub, const v1::GenerateRequest& request) {
  grpc::ClientContext context;
  const auto reader = stub.Generate(&context, request);
  Answer answer;
  v1::GenerateResponse message;
  while (reader->Read(&message)) {
    MergeResponse(message, answer.all);
    answer.messages.push_back(message);
  }
  answer.status = reader->Finish();
  return answer;
}

v1::GenerateRequest Story(uint32_t max_tokens) {
  v1::GenerateRequest request;
  request.set_prompt("Once upon a time");
  request.set_max_tokens(max_tokens);
  request.set_temperature(0);
  request.set_ignore_eos(true);
  return request;
}

class InferenceServiceTest : public testing::Test {
 protected:
  DemoServer server_;
  const std::unique_ptr<v1::Inference::Stub> stub_ = server_.NewStub();
};

TEST_F(InferenceServiceTest, BytesThatAreNoRequestAreInvalidInEveryMethod) {
  const auto channel = grpc::CreateChannel(server_.address(), grpc::InsecureChannelCredentials());
  for (const std::string method : {"Generate", "Tokenize", "Detokenize", "GetModel"}) {
    CallScript script;
    script.path = absl::StrCat("/tramontane.v1.Inference/", method);
    script.messages = {"\xff\xff\xff"};
    const grpc::Status status = EndOfCall(channel, script);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << method;
    EXPECT_THAT(status.error_message(),
                HasSubstr(absl::StrCat("are no tramontane.v1.", method, "Request")));
  }
}

TEST_F(InferenceServiceTest, TextThatIsNotUtf8IsInvalid) {
  const auto channel = grpc::CreateChannel(server_.address(), grpc::InsecureChannelCredentials());
  CallScript script;
  script.path = "/tramontane.v1.Inference/Generate";
  script.messages = {"\x0a\x02\xc3\x28"};  // prompt
  EXPECT_EQ(EndOfCall(channel, script).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(InferenceServiceTest, GreedyTokensAndPromptLogprobsAreTheReferences) {
  std::ifstream file(GoldenDirectory() + "/demo/golden.json");
  const json golden = json::parse(file);
  ASSERT_GT(golden["cases"].size(), 0u);
  for (const json& expected : golden["cases"]) {
    v1::GenerateRequest request = Story(expected["greedy_token_ids"].size());
    request.set_prompt(expected["prompt"].get<std::string>());
    request.set_prompt_logprobs(true);
    const Answer answer = Generate(*stub_, request);
    ASSERT_TRUE(answer.status.ok()) << answer.status.error_message();
    const v1::GenerateResponse& all = answer.all;
    EXPECT_EQ(std::vector<int>(all.prompt_token_ids().begin(), all.prompt_token_ids().end()),
              expected["prompt_token_ids"].get<std::vector<int>>());
    EXPECT_EQ(std::vector<int>(all.token_ids().begin(), all.token_ids().end()),
              expected["greedy_token_ids"].get<std::vector<int>>());
    ASSERT_EQ(static_cast<size_t>(all.prompt_logprobs_size()), expected["prompt_logprobs"].size());
    EXPECT_TRUE(std::isnan(all.prompt_logprobs(0)));
    for (int i = 1; i < all.prompt_logprobs_size(); ++i) {
      // float32 on both sides; sums of a few hundred terms in another order.
      EXPECT_NEAR(all.prompt_logprobs(i),
                  expected["prompt_logprobs"][static_cast<size_t>(i)].get<double>(), 2e-4);
    }
  }
}

TEST_F(InferenceServiceTest, LastMessageHasReasonUsageTimingsAndSeed) {
  v1::GenerateRequest request = Story(5);
  request.set_seed(77);
  const Answer answer = Generate(*stub_, request);
  ASSERT_TRUE(answer.status.ok()) << answer.status.error_message();
  const v1::GenerateResponse& last = answer.messages.back();
  EXPECT_EQ(last.finish_reason(), v1::FINISH_REASON_LENGTH);
  EXPECT_EQ(last.usage().prompt_tokens(), 5u);
  EXPECT_EQ(last.usage().completion_tokens(), 5u);
  EXPECT_GT(last.timings().time_to_first_token_ms(), 0);
  EXPECT_GE(last.timings().total_ms(), last.timings().time_to_first_token_ms());
  EXPECT_EQ(last.seed(), 77u);
  for (size_t i = 0; i + 1 < answer.messages.size(); ++i) {
    EXPECT_EQ(answer.messages[i].finish_reason(), v1::FINISH_REASON_UNSPECIFIED);
  }
}

TEST_F(InferenceServiceTest, ABrokenStreamGoesOnWithTheTokensOfTheUnbrokenOne) {
  constexpr int kTokens = 24, kBeforeTheBreak = 10;
  v1::GenerateRequest request = Story(kTokens);
  request.set_temperature(0.9F);
  request.set_repetition_penalty(1.2F);
  request.set_seed(7);
  request.set_echo(true);
  const Answer unbroken = Generate(*stub_, request);
  ASSERT_TRUE(unbroken.status.ok()) << unbroken.status.error_message();
  ASSERT_EQ(unbroken.all.token_ids_size(), kTokens);
  const std::vector<uint32_t> tokens(unbroken.all.token_ids().begin(),
                                     unbroken.all.token_ids().end());

  request.clear_prompt();
  request.set_echo(false);
  *request.mutable_prompt_token_ids() = unbroken.all.prompt_token_ids();
  request.mutable_prompt_token_ids()->Add(tokens.begin(), tokens.begin() + kBeforeTheBreak);
  request.set_max_tokens(kTokens - kBeforeTheBreak);
  const Answer rest = Generate(*stub_, request);
  ASSERT_TRUE(rest.status.ok()) << rest.status.error_message();
  EXPECT_THAT(rest.all.token_ids(),
              testing::ElementsAreArray(tokens.begin() + kBeforeTheBreak, tokens.end()));
}

TEST_F(InferenceServiceTest, TokenIdsAndChatArePromptsToo) {
  v1::GenerateRequest request = Story(4);
  const Answer text = Generate(*stub_, request);
  request.clear_prompt();
  for (const uint32_t id : {1, 2742, 868, 261, 586}) request.add_prompt_token_ids(id);
  const Answer ids = Generate(*stub_, request);
  EXPECT_EQ(ids.all.text(), text.all.text());
  request.clear_prompt_token_ids();
  request.add_messages()->set_role("user");
  request.mutable_messages(0)->set_content("Tell me a story.");
  request.set_echo(true);
  const Answer chat = Generate(*stub_, request);
  ASSERT_TRUE(chat.status.ok()) << chat.status.error_message();
  EXPECT_THAT(chat.all.text(), HasSubstr("[INST] Tell me a story. [/INST]"));
}

TEST_F(InferenceServiceTest, RoutingHasEveryLayerOfEveryTokenThatWasRun) {
  v1::GenerateRequest request = Story(3);
  request.set_routing(true);
  const Answer answer = Generate(*stub_, request);
  EXPECT_EQ(answer.all.prompt_routing_size(), 5);
  ASSERT_EQ(answer.all.routing_size(), 2);
  const v1::TokenRouting& routing = answer.all.routing(1);
  ASSERT_EQ(routing.expert_ids_size(), 4 * 2);
  for (int layer = 0; layer < 4; ++layer) {
    // Renormalised in float32.
    EXPECT_NEAR(routing.weights(2 * layer) + routing.weights(2 * layer + 1), 1.0, 1e-6);
    EXPECT_GE(routing.weights(2 * layer), routing.weights(2 * layer + 1));
  }
  for (const v1::GenerateResponse& message : answer.messages) {
    EXPECT_LE(message.token_ids_size(), 1);
  }
}

TEST_F(InferenceServiceTest, SameSeedSameTokensAlsoAmongOthers) {
  v1::GenerateRequest request = Story(24);
  request.set_temperature(1);
  request.set_seed(11);
  const std::string alone = Generate(*stub_, request).all.text();
  std::vector<std::thread> clients;
  for (int client = 0; client < 4; ++client) {
    clients.emplace_back([&] {
      const std::unique_ptr<v1::Inference::Stub> stub = server_.NewStub();
      EXPECT_EQ(Generate(*stub, request).all.text(), alone);
    });
  }
  for (std::thread& client : clients) client.join();
}

TEST_F(InferenceServiceTest, SeveralCompletionsEchoEachAndTellOfThePromptOnce) {
  v1::GenerateRequest request = Story(6);
  request.set_temperature(1);
  request.set_seed(40);
  request.set_echo(true);
  std::vector<v1::GenerateResponse> alone(3), together(3);
  for (uint64_t i = 0; i < 3; ++i) {
    request.set_seed(40 + i);
    alone[i] = Generate(*stub_, request).all;
  }
  request.set_seed(40);
  request.set_num_completions(3);
  const Answer answer = Generate(*stub_, request);
  ASSERT_TRUE(answer.status.ok()) << answer.status.error_message();
  for (const v1::GenerateResponse& message : answer.messages) {
    MergeResponse(message, together.at(message.completion_index()));
  }
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(together[i].text(), alone[i].text()) << i;
    EXPECT_THAT(together[i].token_ids(), testing::ElementsAreArray(alone[i].token_ids()));
    EXPECT_EQ(together[i].prompt_token_ids_size(), i == 0 ? 5 : 0);
    EXPECT_EQ(together[i].finish_reason(), v1::FINISH_REASON_LENGTH);
    EXPECT_EQ(together[i].seed(), 40 + i);
    EXPECT_EQ(together[i].usage().prompt_tokens(), i == 0 ? 5u : 0u);
    EXPECT_EQ(together[i].usage().completion_tokens(), 6u);
  }
}

TEST_F(InferenceServiceTest, BadFieldIsNamedWithValueAndLimit) {
  v1::GenerateRequest request = Story(4);
  request.set_temperature(-1);
  const Answer answer = Generate(*stub_, request);
  EXPECT_EQ(answer.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(answer.status.error_message(),
              AllOf(HasSubstr("temperature"), HasSubstr("-1"), HasSubstr("[0, 100]")));
  EXPECT_EQ(MetricValue(server_.registry(), "tramontane_requests_total",
                        {{"status", "INVALID_ARGUMENT"}}),
            1);
}

TEST_F(InferenceServiceTest, CancelledCallFreesItsSequence) {
  grpc::ClientContext context;
  const auto reader = stub_->Generate(&context, Story(1000));
  v1::GenerateResponse message;
  ASSERT_TRUE(reader->Read(&message));
  context.TryCancel();
  while (reader->Read(&message)) {
  }
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
  server_.scheduler().Drain(absl::InfiniteFuture());  // returns once nothing runs
  EXPECT_EQ(server_.scheduler().num_running(), 0);
}

TEST_F(InferenceServiceTest, PassedDeadlineEndsTheCall) {
  ASSERT_TRUE(Generate(*stub_, Story(1)).status.ok());  // so that the connection is there
  v1::GenerateRequest request = Story(1000);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(20));
  const auto reader = stub_->Generate(&context, request);
  v1::GenerateResponse message;
  while (reader->Read(&message)) {
  }
  const grpc::Status status = reader->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED) << status.error_message();
}

TEST_F(InferenceServiceTest, DrainingServerRefusesWithUnavailable) {
  server_.scheduler().Drain(absl::InfiniteFuture());
  const Answer answer = Generate(*stub_, Story(4));
  EXPECT_EQ(answer.status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(answer.status.error_message(), HasSubstr("shutting down"));
}

TEST_F(InferenceServiceTest, TokenizeGivesIdsAndPieces) {
  v1::TokenizeRequest request;
  request.set_text("Once upon");
  grpc::ClientContext context;
  v1::TokenizeResponse response;
  ASSERT_TRUE(stub_->Tokenize(&context, request, &response).ok());
  EXPECT_THAT(response.token_ids(), ElementsAre(1, 2742, 868));
  EXPECT_THAT(response.pieces(), ElementsAre("<s>", "▁Once", "▁upon"));
}

TEST_F(InferenceServiceTest, TokenizeWithoutBosAndOfMessages) {
  v1::TokenizeRequest request;
  request.set_text("Once upon");
  request.set_no_bos(true);
  v1::TokenizeResponse response;
  grpc::ClientContext first, second, third;
  ASSERT_TRUE(stub_->Tokenize(&first, request, &response).ok());
  EXPECT_THAT(response.token_ids(), ElementsAre(2742, 868));
  request.add_messages()->set_role("user");
  EXPECT_EQ(stub_->Tokenize(&second, request, &response).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT)
      << "both text and messages";
  request.clear_text();
  request.mutable_messages(0)->set_content("Tell me a story.");
  ASSERT_TRUE(stub_->Tokenize(&third, request, &response).ok());
  EXPECT_EQ(response.token_ids(0), 1u);
  EXPECT_GT(response.token_ids_size(), 10);
}

TEST_F(InferenceServiceTest, DetokenizeIsTheReverse) {
  v1::DetokenizeRequest request;
  for (const uint32_t id : {1, 2742, 868, 261, 586, 2}) request.add_token_ids(id);
  v1::DetokenizeResponse response;
  grpc::ClientContext first, second;
  ASSERT_TRUE(stub_->Detokenize(&first, request, &response).ok());
  EXPECT_EQ(response.text(), "Once upon a time");
  request.add_token_ids(4096);
  const grpc::Status status = stub_->Detokenize(&second, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), AllOf(HasSubstr("token_ids"), HasSubstr("4096")));
}

TEST_F(InferenceServiceTest, GetModelTellsSizesLimitsAndDefaults) {
  grpc::ClientContext context;
  v1::GetModelResponse model;
  ASSERT_TRUE(stub_->GetModel(&context, {}, &model).ok());
  EXPECT_EQ(model.name(), "demo_model");
  EXPECT_EQ(model.digest(), DemoCheckpoint()->digest());
  EXPECT_EQ(model.num_experts(), 8u);
  EXPECT_EQ(model.top_k(), 2u);
  EXPECT_EQ(model.context_length(), 1024u);
  EXPECT_FALSE(model.has_sliding_window());
  EXPECT_EQ(model.bos_token_id(), 1u);
  EXPECT_THAT(model.eos_token_ids(), ElementsAre(2));
  EXPECT_FLOAT_EQ(model.default_temperature(), 0.8f);
  EXPECT_EQ(model.default_max_tokens(), 256u);
}

TEST(NotReadyTest, RequestGetsWhatIsMissing) {
  DemoServer server;
  server.set_readiness(absl::UnavailableError("no expert worker hosts layer 0: experts 4-7"));
  const Answer answer = Generate(*server.NewStub(), Story(4));
  EXPECT_EQ(answer.status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(answer.status.error_message(), HasSubstr("layer 0: experts 4-7"));
}

TEST(FullQueueTest, IsResourceExhaustedWithTheTimeToWait) {
  SchedulerOptions options;
  options.max_running_requests = 1;
  options.max_waiting_requests = 0;
  DemoServer server(options);
  const std::unique_ptr<v1::Inference::Stub> stub = server.NewStub();
  grpc::ClientContext running;
  const auto reader = stub->Generate(&running, Story(1000));
  v1::GenerateResponse message;
  ASSERT_TRUE(reader->Read(&message));
  grpc::ClientContext refused;
  const auto second = stub->Generate(&refused, Story(4));
  EXPECT_FALSE(second->Read(&message));
  EXPECT_EQ(second->Finish().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(refused.GetServerTrailingMetadata().count("grpc-retry-pushback-ms"), 1u);
  running.TryCancel();
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

}  // namespace
}  // namespace tramontane
