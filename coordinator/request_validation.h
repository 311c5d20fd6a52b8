// From what a caller asked for to what will be run.
#ifndef TRAMONTANE_COORDINATOR_REQUEST_VALIDATION_H_
#define TRAMONTANE_COORDINATOR_REQUEST_VALIDATION_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "coordinator/generation_request.h"
#include "coordinator/served_model.h"

namespace tramontane {

inline constexpr int kMaxStopStrings = 16;
inline constexpr int kMaxStopStringBytes = 256;
inline constexpr int kMaxStopTokenIds = 256;
inline constexpr int kMaxTopLogprobs = 20;
inline constexpr int kMaxPriority = 100;  // and -100 the least
inline constexpr int kMaxCompletions = 16;

// Checks every field against its range and the model, encodes the prompt, and fills in defaults;
// `fallback_seed` is used where the request has none. INVALID_ARGUMENT names the field, the value
// and the limit; FAILED_PRECONDITION where a field needs a tokenizer that the model lacks.
absl::StatusOr<GenerationPlan> PlanGeneration(const GenerationRequest& request,
                                              const ServedModel& model, uint64_t fallback_seed);

// A seed from the system's entropy, below 2^53 so that a JSON reader keeps all its digits.
uint64_t RandomSeed();

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_REQUEST_VALIDATION_H_
