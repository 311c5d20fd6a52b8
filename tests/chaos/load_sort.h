// Sorts of requests, and the behaviour of the clients that send them.
#ifndef TRAMONTANE_TESTS_CHAOS_LOAD_SORT_H_
#define TRAMONTANE_TESTS_CHAOS_LOAD_SORT_H_

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "proto/inference.grpc.pb.h"

namespace tramontane {

struct LoadSort {
  std::string name;                   // "sampled, 60 tokens"
  v1::GenerateRequest request;        // a prompt and a seed are added to it
  uint32_t prompt_tokens = 0;         // 0: a short text
  absl::Duration reading_pause;       // after each message
  uint32_t cancel_after_at_most = 0;  // messages, drawn from 1 on; 0: never
  absl::Duration deadline_at_most;    // drawn from its tenth on; 0: a quarter of an hour
  absl::StatusCode refused_with = absl::StatusCode::kOk;  // what is wrong with the request
};

const std::vector<LoadSort>& AllLoadSorts();

// Request number `index` of a sort: always the same one.
v1::GenerateRequest RequestOf(const LoadSort& sort, uint32_t index);

// Of each completion: tokens and log-probabilities of completion and prompt, and the routing, as
// the bits that they are.
class CompletionBits {
 public:
  void Add(const v1::GenerateResponse& part);
  // Whether this is how `whole` begins, in each completion.
  bool Begins(const CompletionBits& whole) const;
  bool operator==(const CompletionBits& other) const { return lists_ == other.lists_; }
  int64_t num_tokens() const { return num_tokens_; }

 private:
  std::vector<std::string> lists_;  // [completions * lists of each]
  int64_t num_tokens_ = 0;
};

// Sends it and reads it to its end or until the sort's client goes; `chance` decides when that is.
// `longest_stall` may be null.
grpc::Status Send(v1::Inference::Stub& stub, const LoadSort& sort,
                  const v1::GenerateRequest& request, uint32_t chance, CompletionBits* bits,
                  absl::Duration* longest_stall);

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_CHAOS_LOAD_SORT_H_
