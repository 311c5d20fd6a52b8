#include "kernels/routed_experts.h"

#include <vector>

#include "kernels/backend.h"
#include "kernels/expert_ffn.h"

namespace tramontane {

// Where operations run within their calls, the host can read the routing: a group for each pair of
// a row and an expert would read weights again and again, so rows of an expert are put side by side
// and the answers copied to their places.
void Backend::RoutedExperts(const RoutedExpertsArgs& args) {
  if (args.num_tokens == 0) return;
  const auto num_pairs = static_cast<size_t>(args.num_tokens * args.top_k);
  const size_t row_bytes =
      static_cast<size_t>(args.experts.front()->hidden_size()) * DTypeSize(compute_dtype());
  std::vector<std::vector<size_t>> pairs(args.experts.size());
  for (size_t pair = 0; pair < num_pairs; ++pair) {
    pairs[static_cast<size_t>(args.topk_expert_ids[pair])].push_back(pair);
  }
  std::vector<const std::byte*> inputs;
  inputs.reserve(num_pairs);
  std::vector<std::byte> answers(num_pairs * row_bytes);
  std::vector<ExpertRows> groups;
  for (size_t expert = 0; expert < pairs.size(); ++expert) {
    if (pairs[expert].empty()) continue;
    const size_t first = inputs.size();
    for (const size_t pair : pairs[expert]) {
      inputs.push_back(args.input + pair / static_cast<size_t>(args.top_k) * row_bytes);
    }
    groups.push_back({args.experts[expert], std::span(inputs.data() + first, inputs.size() - first),
                      answers.data() + first * row_bytes});
  }
  ExpertFfn({groups});
  const std::byte* answer = answers.data();
  for (const std::vector<size_t>& of_expert : pairs) {
    for (const size_t pair : of_expert) {
      std::memcpy(args.output + pair * row_bytes, answer, row_bytes);
      answer += row_bytes;
    }
  }
}

}  // namespace tramontane
