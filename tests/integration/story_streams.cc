#include "tests/integration/story_streams.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "absl/strings/str_cat.h"

namespace tramontane {

v1::GenerateRequest Story(size_t index, uint32_t max_tokens) {
  v1::GenerateRequest request;
  request.set_prompt(absl::StrCat("Once upon a time there were ", 2 + index, " wolves"));
  request.set_max_tokens(max_tokens);
  request.set_temperature(0.8f);
  request.set_seed(index);
  request.set_logprobs(true);
  request.set_ignore_eos(true);
  return request;
}

std::string Bits(const v1::GenerateResponse& response) {
  v1::GenerateResponse kept;
  *kept.mutable_token_ids() = response.token_ids();
  *kept.mutable_logprobs() = response.logprobs();
  return kept.SerializeAsString();
}

StoryStreams::StoryStreams(Cluster& cluster, size_t count, uint32_t max_tokens)
    : max_tokens_(max_tokens), answers_(count), statuses_(count) {
  for (size_t i = 0; i < count; ++i) {
    contexts_.push_back(std::make_unique<grpc::ClientContext>());
    contexts_.back()->set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(2));
    readers_.push_back(cluster.stub().Generate(contexts_.back().get(), Story(i, max_tokens)));
  }
}

void StoryStreams::AwaitBegun() {
  for (size_t i = 0; i < readers_.size(); ++i) {
    EXPECT_TRUE(readers_[i]->Read(&answers_[i])) << i;
  }
}

void StoryStreams::Finish() {
  std::vector<std::thread> threads;
  for (size_t i = 0; i < readers_.size(); ++i) {
    threads.emplace_back([this, i] {
      v1::GenerateResponse part;
      while (readers_[i]->Read(&part)) answers_[i].MergeFrom(part);
      statuses_[i] = readers_[i]->Finish();
    });
  }
  for (std::thread& thread : threads) thread.join();
}

void ExpectAsAlone(v1::Inference::Stub& stub, const StoryStreams& streams) {
  for (size_t i = 0; i < streams.size(); ++i) {
    EXPECT_TRUE(streams.status(i).ok()) << i << ": " << streams.status(i).error_message();
    const absl::StatusOr<v1::GenerateResponse> alone =
        GenerateAll(stub, Story(i, streams.max_tokens()));
    ASSERT_TRUE(alone.ok()) << alone.status();
    EXPECT_EQ(streams.bits(i), Bits(*alone)) << i;
  }
}

}  // namespace tramontane
