#include "kernels/routed_experts.h"

#include <algorithm>

#include "kernels/cuda/move_rows.h"
#include "kernels/cuda/operations.h"
#include "kernels/cuda/packed_weights.h"
#include "kernels/cuda/products.h"
#include "kernels/cuda/route_rows.h"
#include "kernels/cuda/warpgroup_rows.h"
#include "model/check.h"

namespace tramontane::cuda {
namespace {

const DeviceExpert& Expert(const PackedExpert* expert) {
  return static_cast<const DeviceExpert&>(*expert);
}

// The lists of both matrices in device memory, and what bounds them: at most one row of each token
// goes to one expert.
struct Lists {
  RoutedProducts up, down;
  RouteRowsArgs args;

  Lists(Context& context, const RoutedExpertsArgs& routed, int64_t max_pairs) {
    const DeviceExpert& expert = Expert(routed.experts.front());
    const auto num_experts = static_cast<int64_t>(routed.experts.size());
    const int64_t num_pairs = routed.num_tokens * routed.top_k;
    const bool exact = context.compute_dtype == DType::kF32;
    // The class of kernels is the same whatever the routing is.
    const int few_rows = exact ? 0 : MostFewRows(context, routed.num_tokens);
    up.max_rows = num_pairs;
    up.max_rows_of_one = routed.num_tokens;
    up.few_rows = few_rows;
    up.max_few = few_rows == 0 ? 0 : static_cast<int>(std::min(num_experts, num_pairs));
    up.max_many = routed.num_tokens <= few_rows
                      ? 0
                      : static_cast<int>(std::min(num_experts, num_pairs / (few_rows + 1)));
    const int64_t list_bytes = num_experts * static_cast<int64_t>(sizeof(Product));
    std::byte* const bytes = context.routing.Reserve(
        context, 4 * list_bytes + max_pairs * static_cast<int64_t>(sizeof(int32_t)));
    auto* const lists = reinterpret_cast<Product*>(bytes);
    args.topk_expert_ids = routed.topk_expert_ids;
    args.up.few = lists;
    args.up.many = lists + num_experts;
    args.down.few = lists + 2 * num_experts;
    args.down.many = lists + 3 * num_experts;
    args.pair_of_row = reinterpret_cast<int32_t*>(lists + 4 * num_experts);
    args.num_pairs = static_cast<int32_t>(num_pairs);
    args.num_experts = static_cast<int32_t>(num_experts);
    args.few_rows = few_rows;
    args.element_bytes = static_cast<int32_t>(DTypeSize(context.compute_dtype));
    down = up;
    up.few = args.up.few;
    up.many = args.up.many;
    up.num_tiles = static_cast<int>(expert.w13().num_tiles());
    up.in_features = expert.w13().padded_in_features();
    down.few = args.down.few;
    down.many = args.down.many;
    down.num_tiles = static_cast<int>(expert.w2().num_tiles());
    down.in_features = expert.w2().padded_in_features();
  }
};

// What the lists are made of.
void SetProducts(const RoutedExpertsArgs& routed, const void* rows, void* activated,
                 void* packed_rows, RouteRowsArgs& args) {
  for (size_t e = 0; e < routed.experts.size(); ++e) {
    const DeviceExpert& expert = Expert(routed.experts[e]);
    TRAMONTANE_CHECK(expert.hidden_size() == routed.experts[0]->hidden_size() &&
                     expert.intermediate_size() == routed.experts[0]->intermediate_size());
    const Product up =
        expert.w13().MakeProduct(rows, 0, activated, expert.w2().padded_in_features());
    Product down = expert.w2().MakeProduct(activated, 0, routed.output, expert.hidden_size());
    down.output_rows = args.pair_of_row;
    args.up.weight[e] = up.weight;
    args.down.weight[e] = down.weight;
    args.up.all = up;
    args.down.all = down;
  }
  // One after the other: those of the second are packed when the first have been read.
  args.up.all.packed_rows = args.down.all.packed_rows = packed_rows;
}

// At most `max_pairs` pairs at once.
void RunTokens(Context& context, const RoutedExpertsArgs& args, int64_t max_pairs) {
  const DeviceExpert& expert = Expert(args.experts.front());
  const auto element_bytes = static_cast<int64_t>(DTypeSize(context.compute_dtype));
  const int64_t row_bytes = expert.hidden_size() * element_bytes;
  const int64_t padded_bytes = expert.w13().padded_in_features() * element_bytes;
  std::byte* const rows = context.rows.Reserve(context, max_pairs * padded_bytes);
  std::byte* const activated = context.activated.Reserve(
      context, max_pairs * expert.w2().padded_in_features() * element_bytes);
  Lists lists(context, args, max_pairs);
  std::byte* packed_rows = nullptr;
  if (context.warpgroups && context.compute_dtype != DType::kF32) {
    packed_rows = ReservePackedRows(
        context, max_pairs, static_cast<int64_t>(args.experts.size()),
        std::max(expert.w13().padded_in_features(), expert.w2().padded_in_features()));
  }
  if (context.failed()) return;
  SetProducts(args, rows, activated, packed_rows, lists.args);
  RouteRows(context, lists.args);
  GatherRows(context,
             {lists.args.pair_of_row, args.input, rows, row_bytes, padded_bytes, args.top_k},
             lists.args.num_pairs);
  RunRoutedProducts(context, lists.up, Epilogue::kSwiGlu);
  RunRoutedProducts(context, lists.down, Epilogue::kStore);
}

}  // namespace

void RoutedExperts(Context& context, const RoutedExpertsArgs& args) {
  if (args.num_tokens == 0) return;
  if (args.experts.size() > size_t{kMaxRoutedExperts}) {
    context.Check(cudaErrorInvalidValue, "routing among more than 128 experts");
    return;
  }
  const int64_t row_bytes =
      args.experts.front()->hidden_size() * static_cast<int64_t>(DTypeSize(context.compute_dtype));
  const int64_t max_tokens = std::max<int64_t>(1, context.max_rows / args.top_k);
  for (int64_t token = 0; token < args.num_tokens; token += max_tokens) {
    RoutedExpertsArgs some = args;
    some.input += token * row_bytes;
    some.topk_expert_ids += token * args.top_k;
    some.output += token * args.top_k * row_bytes;
    some.num_tokens = std::min(max_tokens, args.num_tokens - token);
    RunTokens(context, some, max_tokens * args.top_k);
  }
}

}  // namespace tramontane::cuda
