#include "attention_worker/attention_sequence.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>

namespace tramontane {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr int kVocabSize = 32;

class AttentionSequenceTest : public ::testing::Test {
 protected:
  AttentionSequence Make(float repetition_penalty) {
    SequenceSpec spec;
    spec.max_total_tokens = 8;
    spec.sampling.repetition_penalty = repetition_penalty;
    spec.token_ids = {5, 5, 7, 2};
    spec.max_cached_tokens = 3;
    return AttentionSequence(spec, &pool_, kVocabSize);
  }

  static void Run(AttentionSequence& sequence, const SequenceChunk& chunk) {
    ASSERT_TRUE(sequence.MakeRoom(chunk));
    sequence.Advance(chunk);
  }

  static SequenceChunk Chunk(int first_position, std::vector<int32_t> token_ids) {
    SequenceChunk chunk;
    chunk.first_position = first_position;
    chunk.token_ids = std::move(token_ids);
    return chunk;
  }

  KvBlockPool pool_{8, 2};
};

TEST_F(AttentionSequenceTest, AdvancesByTheTokensThatRan) {
  AttentionSequence sequence = Make(1.0f);
  Run(sequence, Chunk(0, {1, 2, 3}));
  EXPECT_EQ(sequence.tokens_run(), 3);
  EXPECT_TRUE(sequence.CheckChunk(Chunk(3, {4})).ok());
  EXPECT_EQ(sequence.CheckChunk(Chunk(0, {4})).code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(AttentionSequenceTest, SeenTokensAreThoseThatRanAndTheChunks) {
  AttentionSequence sequence = Make(1.5f);
  EXPECT_THAT(sequence.SeenWith(Chunk(0, {5, 5, 7})), ElementsAre(5, 7));
  EXPECT_THAT(sequence.SeenWith(Chunk(0, {9})), ElementsAre(9));  // asking changes nothing
  Run(sequence, Chunk(0, {5, 5, 7}));
  EXPECT_THAT(sequence.SeenWith(Chunk(3, {7, 2})), ElementsAre(5, 7, 2));
}

TEST_F(AttentionSequenceTest, StartsAfterWhatThePrefixCacheHolds) {
  AttentionSequence first = Make(1.5f);
  Run(first, Chunk(0, {5, 5, 7, 2}));
  const AttentionSequence second = Make(1.5f);
  EXPECT_EQ(second.tokens_run(), 2);  // one block: max_cached_tokens ends inside of the second
  EXPECT_EQ(second.page_table().front(), first.page_table().front());
  EXPECT_TRUE(second.CheckChunk(Chunk(2, {7})).ok());
  EXPECT_THAT(second.SeenWith(Chunk(2, {7})), ElementsAre(5, 7));  // cached tokens were seen too
}

TEST_F(AttentionSequenceTest, WithoutAPenaltyNothingIsTracked) {
  AttentionSequence sequence = Make(1.0f);
  Run(sequence, Chunk(0, {5}));
  EXPECT_THAT(sequence.SeenWith(Chunk(1, {6})), IsEmpty());
}

}  // namespace
}  // namespace tramontane
