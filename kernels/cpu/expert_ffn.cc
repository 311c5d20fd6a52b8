#include <algorithm>
#include <vector>

#include "kernels/cpu/gemm.h"
#include "kernels/cpu/memory_size.h"
#include "kernels/cpu/operations.h"
#include "kernels/expert_slices.h"

namespace tramontane::cpu {
namespace {

const PackedPanelsExpert& Expert(const ExpertRows& group) {
  return static_cast<const PackedPanelsExpert&>(*group.expert);
}

// The rows silu(w1 x) * (w3 x) of all groups, one after the other.
struct Activations {
  Activations(Context& context, const ExpertFfnArgs& args)
      : dtype(context.compute_dtype), element_bytes(static_cast<int64_t>(DTypeSize(dtype))) {
    int64_t num_bytes = 0;
    for (const ExpertRows& group : args.groups) {
      first_byte.push_back(num_bytes);
      num_bytes += static_cast<int64_t>(group.input.size()) * RowBytes(group);
    }
    bytes = context.activated.Reserve(num_bytes);
  }

  int64_t RowBytes(const ExpertRows& group) const {
    return ActivatedRowBytes(Expert(group).intermediate_size(), dtype);
  }

  const DType dtype;
  const int64_t element_bytes;
  std::vector<int64_t> first_byte;  // [groups]
  std::byte* bytes = nullptr;
};

// At most kMaxActivatedRows rows.
void RunRows(Context& context, const ExpertFfnArgs& args) {
  const Activations activations(context, args);
  const auto activated_row = [&](size_t g, int64_t row) {
    return activations.bytes + activations.first_byte[g] +
           row * activations.RowBytes(args.groups[g]);
  };

  std::vector<GemmProblem> problems;
  for (const ExpertRows& group : args.groups) {
    problems.push_back(
        {&Expert(group).w13(), group.input.data(), static_cast<int64_t>(group.input.size())});
  }
  RunGemm(context, problems, [&](const GemmBlock& block) {
    const int64_t first = block.panel * kGateColumns;
    const int64_t left = Expert(args.groups[block.problem]).intermediate_size() - first;
    for (int64_t r = 0; r < block.num_rows; ++r) {
      context.kernels.swiglu(
          block.sums + r * kPanelColumns, static_cast<int>(std::min<int64_t>(left, kGateColumns)),
          activated_row(block.problem, block.first_row + r) + first * activations.element_bytes,
          context.compute_dtype);
    }
  });

  context.rows.clear();
  for (size_t g = 0; g < args.groups.size(); ++g) {
    for (int64_t r = 0; r < problems[g].num_rows; ++r) context.rows.push_back(activated_row(g, r));
  }
  const std::byte* const* next_row = context.rows.data();
  for (size_t g = 0; g < args.groups.size(); ++g) {
    problems[g] = {&Expert(args.groups[g]).w2(), next_row, problems[g].num_rows};
    next_row += problems[g].num_rows;
  }
  RunGemm(context, problems, [&](const GemmBlock& block) {
    const PackedPanels& w2 = *problems[block.problem].weights;
    for (int64_t r = 0; r < block.num_rows; ++r) {
      const int64_t element =
          (block.first_row + r) * w2.out_features() + block.panel * kPanelColumns;
      context.kernels.store(block.sums + r * kPanelColumns, w2.columns(block.panel),
                            args.groups[block.problem].output + element * activations.element_bytes,
                            context.compute_dtype);
    }
  });
}

}  // namespace

void ExpertFfn(Context& context, const ExpertFfnArgs& args) {
  RunInSlices(args, kMaxActivatedRows, context.compute_dtype,
              [&context](const ExpertFfnArgs& slice) { RunRows(context, slice); });
}

}  // namespace tramontane::cpu
