#include "attention_worker/grpc/attention_messages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

namespace tramontane {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

constexpr int kVocabSize = 100;

SequenceSpec FullSpec() {
  SequenceSpec spec;
  spec.id = uint64_t{1} << 63;
  spec.sampling.temperature = 0.7f;
  spec.sampling.top_k = 40;
  spec.sampling.top_p = 0.9f;
  spec.sampling.min_p = 0.05f;
  spec.sampling.repetition_penalty = 1.3f;
  spec.sampling.logit_bias = {{99, -3.5f}, {0, 1000.0f}};
  spec.sampling.seed = ~uint64_t{0};
  spec.max_total_tokens = 32'768;
  spec.num_top_logprobs = 20;
  spec.want_logprobs = true;
  spec.want_routing = true;
  spec.token_ids = {1, 2, 99};
  spec.max_cached_tokens = 2;
  return spec;
}

TEST(AttentionMessagesTest, EveryFieldOfASequenceArrives) {
  const SequenceSpec spec = FullSpec();
  v1::AddSequence message;
  ToMessage(spec, &message);
  const auto read = FromMessage(message, kVocabSize);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->id, spec.id);
  EXPECT_EQ(read->sampling.temperature, spec.sampling.temperature);
  EXPECT_EQ(read->sampling.top_k, spec.sampling.top_k);
  EXPECT_EQ(read->sampling.top_p, spec.sampling.top_p);
  EXPECT_EQ(read->sampling.min_p, spec.sampling.min_p);
  EXPECT_EQ(read->sampling.repetition_penalty, spec.sampling.repetition_penalty);
  EXPECT_THAT(read->sampling.logit_bias, ElementsAre(Pair(99, -3.5f), Pair(0, 1000.0f)));
  EXPECT_EQ(read->sampling.seed, spec.sampling.seed);
  EXPECT_EQ(read->max_total_tokens, spec.max_total_tokens);
  EXPECT_EQ(read->num_top_logprobs, spec.num_top_logprobs);
  EXPECT_TRUE(read->want_logprobs);
  EXPECT_TRUE(read->want_routing);
  EXPECT_EQ(read->token_ids, spec.token_ids);
  EXPECT_EQ(read->max_cached_tokens, spec.max_cached_tokens);
}

TEST(AttentionMessagesTest, ASequenceThatNoCoordinatorSendsIsRefusedByField) {
  struct Wrong {
    const char* field;
    std::function<void(v1::AddSequence&)> write;
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const Wrong& wrong : std::vector<Wrong>{
           {"temperature", [nan](auto& m) { m.mutable_sampling()->set_temperature(nan); }},
           {"top_k", [](auto& m) { m.mutable_sampling()->set_top_k(1u << 31); }},
           {"top_p", [](auto& m) { m.mutable_sampling()->set_top_p(0); }},
           {"min_p", [](auto& m) { m.mutable_sampling()->set_min_p(1.5f); }},
           {"repetition_penalty", [](auto& m) { m.mutable_sampling()->set_repetition_penalty(0); }},
           {"logit_bias_token_ids",
            [](auto& m) { m.mutable_sampling()->set_logit_bias_token_ids(0, kVocabSize); }},
           {"logit_biases", [](auto& m) { m.mutable_sampling()->add_logit_biases(1); }},
           {"logit_biases", [nan](auto& m) { m.mutable_sampling()->set_logit_biases(0, nan); }},
           {"max_total_tokens", [](auto& m) { m.set_max_total_tokens(1u << 31); }},
           {"num_top_logprobs", [](auto& m) { m.set_num_top_logprobs(kVocabSize + 1); }},
           {"token_ids", [](auto& m) { m.set_token_ids(0, 1u << 31); }},
           {"max_cached_tokens", [](auto& m) { m.set_max_cached_tokens(4); }}}) {
    v1::AddSequence message;
    ToMessage(FullSpec(), &message);
    wrong.write(message);
    const auto read = FromMessage(message, kVocabSize);
    EXPECT_EQ(read.status().code(), absl::StatusCode::kInvalidArgument) << wrong.field;
    EXPECT_THAT(std::string(read.status().message()), HasSubstr(wrong.field));
  }
}

TEST(AttentionMessagesTest, EveryFieldOfAStepArrives) {
  StepRequest request;
  request.chunks.push_back({7, 16, {5, 6, 7}, {6, -1, 99}, false});
  request.chunks.push_back({8, 300, {9}, {}, true});
  const absl::Time now = absl::FromUnixSeconds(1'000);
  request.deadline = now + absl::Milliseconds(1'500);
  v1::Step message;
  ToMessage(request, now, &message);
  const absl::Time later = absl::FromUnixSeconds(2'000);
  const auto read = FromMessage(message, later);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->deadline, later + absl::Milliseconds(1'500)) << "the clocks may differ";
  ASSERT_EQ(read->chunks.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(read->chunks[i].id, request.chunks[i].id);
    EXPECT_EQ(read->chunks[i].first_position, request.chunks[i].first_position);
    EXPECT_EQ(read->chunks[i].token_ids, request.chunks[i].token_ids);
    EXPECT_EQ(read->chunks[i].target_token_ids, request.chunks[i].target_token_ids);
    EXPECT_EQ(read->chunks[i].sample, request.chunks[i].sample);
  }
}

TEST(AttentionMessagesTest, NoDeadlineStaysNoneAndAPassedOneIsSoon) {
  const absl::Time now = absl::FromUnixSeconds(1'000);
  StepRequest request;
  v1::Step message;
  ToMessage(request, now, &message);
  EXPECT_EQ(FromMessage(message, now)->deadline, absl::InfiniteFuture());
  request.deadline = absl::InfinitePast();
  ToMessage(request, now, &message);
  EXPECT_EQ(FromMessage(message, now)->deadline, now + absl::Microseconds(1));
}

TEST(AttentionMessagesTest, AStepOfDecodeRowsIsCompact) {
  StepRequest request;
  for (SequenceId id = 0; id < 256; ++id) {
    request.chunks.push_back({1'000'000 + id, 30'000, {31'999}, {}, true});
  }
  v1::Step message;
  ToMessage(request, absl::Now(), &message);
  // An id, a position and a token of 3 to 4 bytes each, with their tags, lengths and a bool.
  EXPECT_LE(message.ByteSizeLong(), 256u * 24);
}

TEST(AttentionMessagesTest, EveryFieldOfAResultArrives) {
  StepResult result;
  ChunkResult& first = result.chunks.emplace_back();
  first.id = 7;
  first.sampled = TokenLogprob{3, -0.25f, {{3, -0.25f}, {4, -1.5f}}};
  first.targets = {{5, -2.0f, {{1, -0.1f}, {2, -0.2f}}},
                   {6, -std::numeric_limits<float>::infinity(), {{3, -0.3f}, {4, -0.4f}}}};
  first.routing = {{0, 7, 1, 2}, {0.75f, 0.25f, 0.5f, 0.5f}};
  result.chunks.emplace_back().id = 8;
  result.chunks.emplace_back().id = 9;
  result.chunks.back().sampled = TokenLogprob{0, 0.0f, {}};
  v1::StepResult message;
  ToMessage(result, &message);
  const auto read = FromMessage(message);
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_EQ(read->chunks.size(), result.chunks.size());
  for (size_t i = 0; i < result.chunks.size(); ++i) {
    SCOPED_TRACE(i);
    const ChunkResult& expected = result.chunks[i];
    const ChunkResult& actual = read->chunks[i];
    EXPECT_EQ(actual.id, expected.id);
    ASSERT_EQ(actual.sampled.has_value(), expected.sampled.has_value());
    if (expected.sampled.has_value()) {
      EXPECT_EQ(actual.sampled->token_id, expected.sampled->token_id);
      EXPECT_EQ(actual.sampled->logprob, expected.sampled->logprob);
      EXPECT_EQ(actual.sampled->top, expected.sampled->top);
    }
    ASSERT_EQ(actual.targets.size(), expected.targets.size());
    for (size_t t = 0; t < expected.targets.size(); ++t) {
      EXPECT_EQ(actual.targets[t].token_id, expected.targets[t].token_id);
      EXPECT_EQ(actual.targets[t].logprob, expected.targets[t].logprob);
      EXPECT_EQ(actual.targets[t].top, expected.targets[t].top);
    }
    EXPECT_EQ(actual.routing.expert_ids, expected.routing.expert_ids);
    EXPECT_EQ(actual.routing.gating_weights, expected.routing.gating_weights);
  }
}

TEST(AttentionMessagesTest, AResultThatContradictsItselfIsRefused) {
  for (const std::function<void(v1::StepChunkResult&)>& write :
       std::vector<std::function<void(v1::StepChunkResult&)>>{
           [](auto& m) { m.mutable_sampled()->add_logprobs(1); },
           [](auto& m) {
             for (int i = 0; i < 2; ++i) {
               m.mutable_sampled()->add_token_ids(1);
               m.mutable_sampled()->add_logprobs(0);
             }
           },
           [](auto& m) {
             m.mutable_targets()->add_token_ids(1u << 31);
             m.mutable_targets()->add_logprobs(0);
           },
           [](auto& m) {
             m.mutable_targets()->add_token_ids(1);
             m.mutable_targets()->add_logprobs(0);
             m.mutable_targets()->set_num_top(std::numeric_limits<uint32_t>::max());
           },
           [](auto& m) { m.add_expert_ids(1); }}) {
    v1::StepResult message;
    write(*message.add_chunks());
    EXPECT_EQ(FromMessage(message).status().code(), absl::StatusCode::kInternal);
  }
}

TEST(AttentionMessagesTest, UsageArrivesAndNonsenseIsRefused) {
  v1::KvCacheUsage message;
  ToMessage({.num_blocks = int64_t{1} << 40, .num_free_blocks = 3, .block_size = 16}, &message);
  const auto read = FromMessage(message);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->num_blocks, int64_t{1} << 40);
  EXPECT_EQ(read->num_free_blocks, 3);
  EXPECT_EQ(read->block_size, 16);
  message.set_block_size(0);
  EXPECT_EQ(FromMessage(message).status().code(), absl::StatusCode::kInternal);
}

}  // namespace
}  // namespace tramontane
