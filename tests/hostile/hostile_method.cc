#include "tests/hostile/hostile_method.h"

#include <utility>

#include "model/check.h"
#include "proto/attention.pb.h"
#include "proto/expert.pb.h"
#include "proto/health.pb.h"
#include "proto/inference.pb.h"
#include "proto/placement.pb.h"

namespace tramontane {
namespace {

using MessagePtr = std::shared_ptr<const google::protobuf::Message>;

// Of the demo model.
constexpr uint32_t kHiddenSize = 256;
constexpr uint32_t kCoordinatorId = 4711;
constexpr size_t kOversized = 80 << 20;
constexpr size_t kOversizedOneIn = 20'000;

template <typename T>
MessagePtr Share(T message) {
  return std::make_shared<T>(std::move(message));
}

HostileMethod Method(std::string path, std::vector<MessagePtr> seeds) {
  HostileMethod method;
  method.path = std::move(path);
  method.seeds = std::move(seeds);
  return method;
}

std::vector<MessagePtr> GenerateSeeds() {
  v1::GenerateRequest text, tokens, chat, scored;
  text.set_prompt("Once upon a time");
  text.set_max_tokens(4);
  text.set_temperature(0.8f);
  text.add_stop("wolf");
  text.set_num_completions(2);
  for (const uint32_t id : {1u, 2742u, 868u}) tokens.add_prompt_token_ids(id);
  tokens.set_max_tokens(3);
  tokens.set_routing(true);
  tokens.set_top_logprobs(2);
  (*tokens.mutable_logit_bias())[5] = 3;
  tokens.add_stop_token_ids(7);
  chat.add_messages()->set_role("user");
  chat.mutable_messages(0)->set_content("Tell me of a fox.");
  chat.set_max_tokens(2);
  chat.set_priority(-3);
  scored.set_prompt("The fox said");
  scored.set_max_tokens(0);
  scored.set_prompt_logprobs(true);
  scored.set_echo(true);
  return {Share(text), Share(tokens), Share(chat), Share(scored)};
}

std::vector<MessagePtr> AttentionSeeds() {
  v1::AttentionRequest open, add, step, release;
  open.set_request_id(1);
  open.mutable_open()->set_coordinator_id(kCoordinatorId);
  add.set_request_id(2);
  v1::AddSequence& sequence = *add.mutable_add_sequence();
  sequence.set_sequence_id(1);
  sequence.set_max_total_tokens(16);
  sequence.mutable_sampling()->set_top_p(1);
  sequence.mutable_sampling()->set_repetition_penalty(1);
  for (const uint32_t id : {1u, 5u, 9u}) sequence.add_token_ids(id);
  step.set_request_id(3);
  v1::StepChunk& chunk = *step.mutable_step()->add_chunks();
  chunk.set_sequence_id(1);
  for (const uint32_t id : {1u, 5u, 9u}) chunk.add_token_ids(id);
  chunk.set_sample(true);
  release.set_request_id(4);
  release.mutable_release_sequence()->set_sequence_id(1);
  return {Share(open), Share(add), Share(add), Share(step), Share(step), Share(release)};
}

v1::ExpertBatch Batch(uint32_t num_rows) {
  v1::ExpertBatch batch;
  batch.set_batch_id(num_rows);
  batch.set_layer(1);
  batch.set_row_format(v1::ROW_FORMAT_BF16);
  batch.set_num_rows(num_rows);
  for (const uint32_t expert : {1u, 3u}) {
    batch.add_expert_ids(expert);
    batch.add_rows_per_expert(num_rows);
    for (uint32_t row = 0; row < num_rows; ++row) batch.add_row_indices(row);
  }
  batch.set_timeout_us(1'000'000);
  batch.set_rows(std::string(size_t{num_rows} * kHiddenSize * 2, '\x3c'));
  return batch;
}

// `is_of_grpc`: of a server whose calls gRPC's callbacks handle.
void AddHealth(bool is_of_grpc, std::vector<HostileMethod>& methods) {
  grpc::health::v1::HealthCheckRequest check;
  check.set_service("tramontane.v1.Inference");
  methods.push_back(Method("/grpc.health.v1.Health/Check", {Share(check)}));
  methods.back().is_of_grpc = is_of_grpc;
  methods.push_back(Method("/grpc.health.v1.Health/Watch", {Share(check)}));
  methods.back().is_of_grpc = is_of_grpc;
  methods.back().may_take_long = true;
}

std::string DrawMessage(const HostileMethod& method, Random& random) {
  if (random() % kOversizedOneIn == 0) return std::string(kOversized, '\x0a');
  if (random() % 10 == 0) return RandomBytes(random, Below(random, 300));
  const MessagePtr& seed = method.seeds[Below(random, method.seeds.size())];
  const std::unique_ptr<google::protobuf::Message> message = NewMessage(*seed->GetDescriptor());
  TRAMONTANE_CHECK(message->ParseFromString(seed->SerializeAsString()));
  if (random() % 4 != 0) MutateMessage(message.get(), random);
  std::string bytes = message->SerializePartialAsString();
  return random() % 3 == 0 ? MutateBytes(std::move(bytes), random) : bytes;
}

bool Parses(const HostileMethod& method, const std::string& bytes) {
  const std::unique_ptr<google::protobuf::Message> message(method.seeds.front()->New());
  return message->ParseFromString(bytes);
}

std::string DrawUnknownPath(Random& random) {
  static const char* const kPaths[] = {
      "/tramontane.v1.Inference/Nothing",  "/tramontane.v1.Nothing/Generate",   "/", "//", "/a/b/c",
      "/tramontane.v1.Inference/generate", "/tramontane.v1.Inference/Generate/"};
  if (random() % 4 == 0) return "/" + std::string(Below(random, 4000), 'x') + "/y";
  return kPaths[Below(random, std::size(kPaths))];
}

}  // namespace

std::vector<HostileMethod> CoordinatorMethods() {
  v1::TokenizeRequest tokenize, chat;
  tokenize.set_text("Il était une fois");
  chat.add_messages()->set_role("user");
  chat.mutable_messages(0)->set_content("Hello");
  v1::DetokenizeRequest detokenize;
  for (const uint32_t id : {1u, 300u, 4095u}) detokenize.add_token_ids(id);
  const HostileMethod generate = [] {
    HostileMethod method = Method("/tramontane.v1.Inference/Generate", GenerateSeeds());
    method.may_take_long = true;
    return method;
  }();
  std::vector<HostileMethod> methods = {
      generate,
      generate,  // the one that matters most
      Method("/tramontane.v1.Inference/Tokenize", {Share(tokenize), Share(chat)}),
      Method("/tramontane.v1.Inference/Detokenize", {Share(detokenize)}),
      Method("/tramontane.v1.Inference/GetModel", {Share(v1::GetModelRequest())}),
      Method("/tramontane.v1.Placement/GetPlacement", {Share(v1::GetPlacementRequest())})};
  AddHealth(/*is_of_grpc=*/true, methods);
  return methods;
}

std::vector<HostileMethod> AttentionWorkerMethods() {
  HostileMethod run = Method("/tramontane.v1.AttentionWorker/Run", AttentionSeeds());
  run.takes_stream = true;
  run.opening = run.seeds.front();
  std::vector<HostileMethod> methods = {
      run, run, run,
      Method("/tramontane.v1.AttentionWorker/Describe",
             {Share(v1::DescribeAttentionWorkerRequest())}),
      Method("/tramontane.v1.Placement/GetPlacement", {Share(v1::GetPlacementRequest())})};
  AddHealth(/*is_of_grpc=*/false, methods);
  return methods;
}

std::vector<HostileMethod> ExpertWorkerMethods() {
  HostileMethod execute = Method("/tramontane.v1.ExpertWorker/Execute",
                                 {Share(Batch(1)), Share(Batch(3)), Share(Batch(16))});
  execute.takes_stream = true;
  std::vector<HostileMethod> methods = {
      execute, execute,
      Method("/tramontane.v1.ExpertWorker/Describe", {Share(v1::DescribeRequest())})};
  AddHealth(/*is_of_grpc=*/false, methods);
  return methods;
}

CallScript DrawCall(const std::vector<HostileMethod>& methods, Random& random) {
  const HostileMethod& method = methods[Below(random, methods.size())];
  CallScript script;
  script.path = method.path;
  if (method.opening != nullptr && random() % 8 != 0) {
    script.messages.push_back(method.opening->SerializeAsString());
  }
  const size_t count = method.takes_stream ? 1 + random() % 12 : 1;
  for (size_t i = 0; i < count; ++i) script.messages.push_back(DrawMessage(method, random));
  // A worker's streams answer each message by itself, where it can.
  script.may_be_internal = method.is_of_grpc;
  script.must_be_invalid = !method.takes_stream && !method.is_of_grpc &&
                           script.messages.back().size() < kOversized &&
                           !Parses(method, script.messages.back());
  script.may_outlive_deadline = method.may_take_long;
  if (method.may_take_long) script.deadline = absl::Milliseconds(20 + Below(random, 500));
  if (random() % 1'000 == 0) {  // a thousand bytes of zeros in each that is sent
    script.compressed = true;
    script.messages.assign(1, std::string(size_t{1} << (10 + random() % 16), '\0'));
    script.must_be_unimplemented = true;
    script.must_be_invalid = false;
  }
  if (random() % 50 == 0) {
    script.path = DrawUnknownPath(random);
    script.must_be_unimplemented = true;
    script.must_be_invalid = false;
  }
  if (random() % 8 == 0) script.cancel_after = static_cast<int>(random() % 3);
  if (random() % 16 == 0) {
    script.half_close = false;
    script.deadline = absl::Milliseconds(Below(random, 100));
  }
  return script;
}

}  // namespace tramontane
