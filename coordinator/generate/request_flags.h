// The request that the command line spells.
#ifndef TRAMONTANE_COORDINATOR_GENERATE_REQUEST_FLAGS_H_
#define TRAMONTANE_COORDINATOR_GENERATE_REQUEST_FLAGS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/inference.pb.h"

namespace tramontane {

// Values of the flags that are named as the API's fields. What is unset is not sent, so that the
// server's defaults apply.
struct RequestFlags {
  std::optional<std::string> prompt;
  std::vector<std::string> prompt_token_ids;
  std::optional<uint32_t> max_tokens;
  std::optional<float> temperature;
  std::optional<uint32_t> top_k;
  std::optional<float> top_p;
  std::optional<float> min_p;
  std::optional<float> repetition_penalty;
  std::vector<std::string> logit_bias;  // "ID:BIAS"
  std::optional<uint64_t> seed;
  std::string stop;  // as ParseStopList takes it
  std::vector<std::string> stop_token_ids;
  bool ignore_eos = false;
  bool echo = false;
  bool logprobs = false;
  uint32_t top_logprobs = 0;
  bool prompt_logprobs = false;
  bool routing = false;
  int32_t priority = 0;
  uint32_t num_completions = 0;  // 0: one
};

// INVALID_ARGUMENT naming the flag and what is wrong with it, for lists that are not what they
// should be; ranges are the server's to judge.
absl::StatusOr<v1::GenerateRequest> BuildRequest(const RequestFlags& flags);

// "END,\n\n" into {"END", two newlines}: separated by commas, with the escapes \n \t \r \\ and \,.
absl::StatusOr<std::vector<std::string>> ParseStopList(const std::string& list);

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_GENERATE_REQUEST_FLAGS_H_
