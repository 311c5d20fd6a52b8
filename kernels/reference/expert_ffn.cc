#include <cmath>
#include <vector>

#include "kernels/elements.h"
#include "kernels/reference/operations.h"
#include "kernels/reference/packed.h"

namespace tramontane::reference {
namespace {

float Silu(float x) { return x / (1.0f + std::exp(-x)); }

float Dot(const float* weights, const std::vector<float>& x) {
  float sum = 0;
  for (size_t k = 0; k < x.size(); ++k) sum += x[k] * weights[k];
  return sum;
}

float Round(float value, DType dtype) {
  return dtype == DType::kBF16 ? ToFloat(ToBFloat16(value)) : value;
}

}  // namespace

void ExpertFfn(const ExpertFfnArgs& args, DType compute_dtype) {
  for (const ExpertRows& group : args.groups) {
    const auto& expert = static_cast<const RowMajorExpert&>(*group.expert);
    std::vector<float> x(static_cast<size_t>(expert.hidden_size()));
    std::vector<float> activated(static_cast<size_t>(expert.intermediate_size()));
    std::byte* output = group.output;
    for (const std::byte* input : group.input) {
      for (size_t i = 0; i < x.size(); ++i) {
        x[i] = LoadElement(input, compute_dtype, static_cast<int64_t>(i));
      }
      for (size_t i = 0; i < activated.size(); ++i) {
        const auto n = static_cast<int64_t>(i);
        activated[i] =
            Round(Silu(Dot(expert.w1->row(n), x)) * Dot(expert.w3->row(n), x), compute_dtype);
      }
      for (int64_t n = 0; n < expert.hidden_size(); ++n) {
        StoreElement(output, compute_dtype, n, Dot(expert.w2->row(n), activated));
      }
      output += x.size() * DTypeSize(compute_dtype);
    }
  }
}

}  // namespace tramontane::reference
