#include "coordinator/generation_request.h"

namespace tramontane {

GenerationPlan PlanOfCompletion(const GenerationPlan& request, int completion_index) {
  GenerationPlan plan = request;
  plan.completion_index = completion_index;
  plan.sampling.seed += static_cast<uint64_t>(completion_index);  // modulo 2^64
  if (completion_index > 0) plan.prompt_logprobs = false;
  return plan;
}

}  // namespace tramontane
