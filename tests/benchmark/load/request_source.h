// The requests of a load run, each made of the seed and its number alone.
#ifndef TRAMONTANE_TESTS_BENCHMARK_LOAD_REQUEST_SOURCE_H_
#define TRAMONTANE_TESTS_BENCHMARK_LOAD_REQUEST_SOURCE_H_

#include <cstdint>
#include <optional>
#include <random>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/inference.pb.h"
#include "tests/benchmark/load/load_options.h"

namespace tramontane {

struct PlannedRequest {
  v1::GenerateRequest message;
  uint64_t cancel_after_tokens = 0;  // output tokens after which the client cancels; 0: never
};

// Makes requests for one model. Prompts are token ids: BOS where the model has one, a shared prefix
// where asked for, then tokens drawn evenly from the vocabulary without BOS and the end-of-sequence
// tokens. Immutable.
class RequestSource {
 public:
  // INVALID_ARGUMENT where the longest prompt and output do not fit the model's context. A
  // lognormal without MAX fits always: its draws are cut to what the context leaves.
  static absl::StatusOr<RequestSource> Create(const LoadOptions& options,
                                              const v1::GetModelResponse& model);

  // The same number gives the same request. Different ones share their prefix at most.
  PlannedRequest Make(uint64_t number) const;

 private:
  RequestSource(const LoadOptions& options, const v1::GetModelResponse& model);

  void AppendTokens(int count, std::mt19937_64& random,
                    google::protobuf::RepeatedField<uint32_t>& token_ids) const;

  const LoadOptions options_;
  const int context_length_;
  const std::optional<uint32_t> bos_;
  std::vector<uint32_t> vocabulary_;                                 // ids that prompts are made of
  std::vector<google::protobuf::RepeatedField<uint32_t>> prefixes_;  // [num_prefixes], BOS included
};

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_BENCHMARK_LOAD_REQUEST_SOURCE_H_
