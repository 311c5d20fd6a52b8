// Several generations at once, to be disturbed while they run.
#ifndef TRAMONTANE_TESTS_INTEGRATION_STORY_STREAMS_H_
#define TRAMONTANE_TESTS_INTEGRATION_STORY_STREAMS_H_

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/integration/cluster.h"

namespace tramontane {

// Request number `index`: a prompt and a seed of its own, so many tokens whatever comes.
v1::GenerateRequest Story(size_t index, uint32_t max_tokens);

// Tokens and log-probabilities, as the bits that they are.
std::string Bits(const v1::GenerateResponse& response);

// Story 0, 1, …, on streams of their own. Used by one thread.
class StoryStreams {
 public:
  StoryStreams(Cluster& cluster, size_t count, uint32_t max_tokens);

  // Reads the first message of each, so that all of them run.
  void AwaitBegun();
  // Reads them to their ends.
  void Finish();

  size_t size() const { return readers_.size(); }
  uint32_t max_tokens() const { return max_tokens_; }
  const grpc::Status& status(size_t i) const { return statuses_[i]; }
  std::string bits(size_t i) const { return Bits(answers_[i]); }

 private:
  const uint32_t max_tokens_;
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts_;
  std::vector<std::unique_ptr<grpc::ClientReader<v1::GenerateResponse>>> readers_;
  std::vector<v1::GenerateResponse> answers_;
  std::vector<grpc::Status> statuses_;
};

// That every stream has ended well, with the bits that its request gets when it runs alone.
void ExpectAsAlone(v1::Inference::Stub& stub, const StoryStreams& streams);

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_INTEGRATION_STORY_STREAMS_H_
