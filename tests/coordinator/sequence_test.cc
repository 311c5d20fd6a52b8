// What a request asked for, from chunks and their results: through a scheduler, with a fake
// attention worker.
#include "coordinator/sequence.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/coordinator/demo_model.h"
#include "tests/coordinator/scheduler_fixture.h"

namespace tramontane {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

class SequenceTest : public SchedulerFixture {
 protected:
  // Runs one request to its end, steps of at most `max_step_tokens`.
  StreamContents Generate(GenerationPlan plan, int max_step_tokens = 512) {
    SchedulerOptions options;
    options.max_step_tokens = max_step_tokens;
    FakeAttentionOptions attention;
    attention.vocab_size = 4096;
    MakeScheduler(options, attention, DemoTokenizer().get());
    if (!completion_.empty()) {
      attention_->set_next_token(
          [this, prompt = plan.prompt_token_ids.size()](std::span<const int32_t> token_ids) {
            return completion_[(token_ids.size() - prompt) % completion_.size()];
          });
    }
    const auto stream = Submit(std::move(plan));
    RunAll();
    return Read(*stream);
  }

  // A plan that goes on with these tokens.
  GenerationPlan Completing(std::vector<int32_t> completion) {
    completion_ = std::move(completion);
    GenerationPlan plan;
    plan.prompt_token_ids = {1, 2742, 868, 261, 586};  // "Once upon a time"
    plan.max_tokens = static_cast<int>(completion_.size());
    plan.stop_token_ids = {2};
    return plan;
  }

  static std::vector<int32_t> Encode(const std::string& text) {
    return *DemoTokenizer()->Encode(text);
  }

  std::vector<int32_t> completion_;
};

TEST_F(SequenceTest, StreamsTheTextOfTheCompletion) {
  const StreamContents contents = Generate(Completing(Encode("there was a König 😀")));
  EXPECT_EQ(contents.output.text, " there was a König 😀");
  EXPECT_EQ(contents.output.summary->finish_reason, FinishReason::kLength);
}

TEST_F(SequenceTest, EchoPutsThePromptsTextFirst) {
  GenerationPlan plan = Completing(Encode("there was"));
  plan.echo = true;
  const StreamContents contents = Generate(std::move(plan));
  EXPECT_EQ(contents.output.text, "Once upon a time there was");
  EXPECT_THAT(contents.output.prompt_token_ids, ElementsAre(1, 2742, 868, 261, 586));
}

TEST_F(SequenceTest, MaxTokensZeroRunsThePromptOnly) {
  GenerationPlan plan = Completing({});
  plan.prompt_logprobs = true;
  const StreamContents contents = Generate(std::move(plan));
  EXPECT_THAT(contents.output.token_ids, IsEmpty());
  EXPECT_THAT(contents.output.prompt_logprobs, SizeIs(5));
  EXPECT_EQ(contents.output.summary->finish_reason, FinishReason::kLength);
  EXPECT_EQ(contents.output.summary->time_to_first_token, absl::ZeroDuration());
  EXPECT_TRUE(contents.end->ok());
}

TEST_F(SequenceTest, EndOfSequenceTokenStopsAndHasNoText) {
  GenerationPlan plan = Completing({497, 2, 497});
  const StreamContents contents = Generate(std::move(plan));
  EXPECT_THAT(contents.output.token_ids, ElementsAre(497, 2));
  EXPECT_EQ(contents.output.text, " there");
  EXPECT_EQ(contents.output.summary->finish_reason, FinishReason::kStop);
}

TEST_F(SequenceTest, IgnoredEndOfSequenceGoesOn) {
  GenerationPlan plan = Completing({497, 2, 497});
  plan.stop_token_ids = {};
  const StreamContents contents = Generate(std::move(plan));
  EXPECT_THAT(contents.output.token_ids, ElementsAre(497, 2, 497));
  EXPECT_EQ(contents.output.text, " there there");
}

TEST_F(SequenceTest, StopTokenIsInTheIdsAndNotInTheText) {
  GenerationPlan plan = Completing({497, 868, 497});
  plan.stop_token_ids = {2, 868};
  const StreamContents contents = Generate(std::move(plan));
  EXPECT_THAT(contents.output.token_ids, ElementsAre(497, 868));
  EXPECT_EQ(contents.output.text, " there");
}

TEST_F(SequenceTest, StopStringAcrossTokensEndsTheTextBeforeIt) {
  GenerationPlan plan = Completing(Encode("there was a king and a queen"));
  plan.stop = {"ing an"};
  const StreamContents contents = Generate(std::move(plan));
  EXPECT_EQ(contents.output.text, " there was a k");
  EXPECT_EQ(contents.output.summary->finish_reason, FinishReason::kStop);
}

TEST_F(SequenceTest, HeldBackTextComesWithTheLastToken) {
  GenerationPlan plan = Completing(Encode("there was a king"));
  plan.stop = {"king and"};
  const StreamContents contents = Generate(std::move(plan));
  EXPECT_EQ(contents.output.text, " there was a king");
  EXPECT_EQ(contents.output.summary->finish_reason, FinishReason::kLength);
}

TEST_F(SequenceTest, StopStringInThePromptDoesNotStop) {
  GenerationPlan plan = Completing(Encode("there was"));
  plan.stop = {"upon"};
  plan.echo = true;
  EXPECT_EQ(Generate(std::move(plan)).output.text, "Once upon a time there was");
}

TEST_F(SequenceTest, LogprobsAndAlternativesOfEveryNewToken) {
  GenerationPlan plan = Completing({497, 868});
  plan.logprobs = true;
  plan.top_logprobs = 3;
  const StreamContents contents = Generate(std::move(plan));
  ASSERT_THAT(contents.output.logprobs, SizeIs(2));
  EXPECT_NEAR(contents.output.logprobs[0], -std::log(4096.0f), 1e-5) << "the fake is uniform";
  ASSERT_THAT(contents.output.top_logprobs, SizeIs(2));
  EXPECT_THAT(contents.output.top_logprobs[1], SizeIs(3));
}

TEST_F(SequenceTest, PromptLogprobsHaveNoGapAtAnyChunkBoundary) {
  for (int max_step_tokens = 1; max_step_tokens <= 6; ++max_step_tokens) {
    GenerationPlan plan = Completing({497});
    plan.prompt_logprobs = true;
    plan.top_logprobs = 2;
    const StreamContents contents = Generate(std::move(plan), max_step_tokens);
    ASSERT_THAT(contents.output.prompt_logprobs, SizeIs(5)) << max_step_tokens;
    EXPECT_TRUE(std::isnan(contents.output.prompt_logprobs[0]));
    for (size_t i = 1; i < 5; ++i) {
      EXPECT_NEAR(contents.output.prompt_logprobs[i], -std::log(4096.0f), 1e-5);
      EXPECT_THAT(contents.output.prompt_top_logprobs[i], SizeIs(2));
    }
    EXPECT_THAT(contents.output.prompt_top_logprobs[0], IsEmpty());
    // The targets that the worker was asked for are the prompt's own tokens, shifted by one.
    std::vector<int32_t> targets;
    for (const StepRequest& step : attention_->steps()) {
      for (const int32_t id : step.chunks.front().target_token_ids) targets.push_back(id);
    }
    EXPECT_THAT(targets, ElementsAre(2742, 868, 261, 586, -1));
  }
}

TEST_F(SequenceTest, ACharacterThatIsNotWholeAtTheEndIsShownAsSuch) {
  const std::vector<int32_t> first_byte = {3 + 0xE2};  // after <unk>, <s> and </s>
  const StreamContents contents = Generate(Completing({497, first_byte[0]}));
  ASSERT_EQ(DemoTokenizer()->Piece(first_byte[0]), "<0xE2>");
  EXPECT_THAT(contents.output.text, testing::EndsWith("\xEF\xBF\xBD"));
  EXPECT_THAT(contents.output.token_ids, ElementsAre(497, first_byte[0]));
}

TEST_F(SequenceTest, RoutingOfEveryTokenThatWasRun) {
  for (const int max_step_tokens : {2, 512}) {
    GenerationPlan plan = Completing({497, 868, 497});
    plan.routing_choices = 2 * 2;  // the fake's layers and top-k
    const StreamContents contents = Generate(std::move(plan), max_step_tokens);
    constexpr size_t kChoices = 2 * 2;  // the fake's layers and top-k
    EXPECT_THAT(contents.output.prompt_routing.expert_ids, SizeIs(5 * kChoices));
    EXPECT_THAT(contents.output.prompt_routing.gating_weights, SizeIs(5 * kChoices));
    EXPECT_THAT(contents.output.routing.expert_ids, SizeIs(2 * kChoices))
        << "the last token is not run";
    EXPECT_THAT(contents.output.prompt_token_ids, SizeIs(5));
  }
}

TEST_F(SequenceTest, LongPromptsDetailsComeInSeveralOutputs) {
  GenerationPlan plan;
  plan.prompt_token_ids.assign(1000, 497);
  plan.prompt_logprobs = true;
  FakeAttentionOptions attention;
  attention.vocab_size = 4096;
  MakeScheduler({.max_step_tokens = 2048}, attention, nullptr);
  const auto stream = Submit(std::move(plan));
  RunAll();
  const TokenStream::Batch first = stream->Take(1);
  EXPECT_THAT(first.output.prompt_token_ids, SizeIs(512));
  EXPECT_THAT(first.output.prompt_logprobs, SizeIs(512));
  EXPECT_THAT(Read(*stream).output.prompt_logprobs, SizeIs(488));
}

TEST_F(SequenceTest, SpecTellsWhatTheWorkerMustKnow) {
  GenerationPlan plan = Completing({497});
  plan.max_tokens = 30;
  plan.logprobs = true;
  plan.top_logprobs = 4;
  plan.sampling.seed = 9;
  const Sequence sequence(7, std::move(plan), nullptr, nullptr, now_, now_);
  const SequenceSpec spec = sequence.Spec();
  EXPECT_EQ(spec.id, SequenceId{7});
  EXPECT_EQ(spec.max_total_tokens, 35);
  EXPECT_EQ(spec.num_top_logprobs, 4);
  EXPECT_TRUE(spec.want_logprobs);
  EXPECT_FALSE(spec.want_routing);
  EXPECT_EQ(spec.sampling.seed, 9u);
}

TEST_F(SequenceTest, AnswerThatDoesNotFitTheChunkIsAnInternalError) {
  auto stream = std::make_shared<TokenStream>(100, nullptr);
  GenerationPlan plan = Completing({497});
  Sequence sequence(7, std::move(plan), nullptr, stream, now_, absl::InfiniteFuture());
  const SequenceChunk chunk = sequence.NextChunk(512);
  ChunkResult without_token;
  without_token.id = 7;
  EXPECT_EQ(sequence.Consume(chunk, without_token, now_).code(), absl::StatusCode::kInternal);
  EXPECT_TRUE(sequence.prefilling()) << "it has not advanced";
}

// Another width would be read beyond its end.
TEST_F(SequenceTest, RoutingOfAnotherWidthIsAnInternalError) {
  constexpr int kChoices = 8;
  for (const int wanted : {0, kChoices}) {
    for (const int per_row : {0, 1, kChoices - 1, kChoices, kChoices + 1, 2 * kChoices}) {
      auto stream = std::make_shared<TokenStream>(100, nullptr);
      GenerationPlan plan = Completing({497});
      plan.routing_choices = wanted;
      Sequence sequence(7, std::move(plan), nullptr, stream, now_, absl::InfiniteFuture());
      const SequenceChunk chunk = sequence.NextChunk(512);
      ChunkResult result;
      result.id = 7;
      result.sampled.emplace();
      result.routing.expert_ids.assign(chunk.token_ids.size() * static_cast<size_t>(per_row), 0);
      result.routing.gating_weights.assign(result.routing.expert_ids.size(), 0.5f);
      EXPECT_EQ(sequence.Consume(chunk, result, now_).ok(), per_row == wanted)
          << wanted << " " << per_row;
    }
  }
}

}  // namespace
}  // namespace tramontane
