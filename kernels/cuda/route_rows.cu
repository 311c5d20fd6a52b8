#include "kernels/cuda/route_rows.h"

#include <algorithm>
#include <limits>

#include "kernels/cuda/intrinsics.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/warpgroup_rows.h"
#include "model/check.h"

namespace tramontane::cuda {
namespace {

// One block of threads, each with a segment of the pairs: at most some 4,096 in all.
constexpr int kThreads = 64;
constexpr int kPairsOfSegment = 4;  // at least
// Integers of shared memory: four segments at least, whatever the number of experts.
constexpr int kMaxCounts = 8192;
static_assert(kMaxCounts / kMaxRoutedExperts - 2 >= 4);

// The product of `expert`, whose rows are the `num_rows` from `first_row` on.
__device__ __forceinline__ Product RowsOf(const ExpertProducts& experts, int expert, int first_row,
                                          int num_rows, int element_bytes) {
  Product product = experts.all;
  product.weight = experts.weight[expert];
  product.input = static_cast<const std::byte*>(product.input) +
                  int64_t{first_row} * product.in_features * element_bytes;
  if (product.output_rows != nullptr) {
    product.output_rows += first_row;
  } else {
    product.output =
        static_cast<std::byte*>(product.output) + first_row * product.output_stride * element_bytes;
  }
  if (product.packed_rows != nullptr) {
    product.packed_rows = static_cast<std::byte*>(product.packed_rows) +
                          FirstPackedRow(first_row, expert) * product.in_features * element_bytes;
  }
  product.num_rows = num_rows;
  return product;
}

// Puts the products of `expert` where they belong in the lists of those with `min_rows` to
// `max_rows` rows.
__device__ __forceinline__ void ListExpert(const RouteRowsArgs& args, const int* num_rows,
                                           int expert, int first_row, int min_rows, int max_rows,
                                           Product* up, Product* down) {
  const auto listed = [&](int e) { return min_rows <= num_rows[e] && num_rows[e] <= max_rows; };
  int all = 0, before = 0;
  for (int e = 0; e < args.num_experts; ++e) {
    all += listed(e);
    before += e < expert && listed(e);
  }
  const int place = listed(expert) ? before : all + expert - before;
  const int rows = listed(expert) ? num_rows[expert] : 0;
  up[place] = RowsOf(args.up, expert, first_row, rows, args.element_bytes);
  down[place] = RowsOf(args.down, expert, first_row, rows, args.element_bytes);
}

__global__ void __launch_bounds__(kThreads)
    RouteRowsKernel(const __grid_constant__ RouteRowsArgs args, int num_segments) {
  LetNextStart();
  AwaitPrevious();
  // Of each segment's pairs, by expert: how many; then how many of segments before.
  int* const counts = reinterpret_cast<int*>(DynamicShared());     // [num_segments, num_experts]
  int* const num_rows = counts + num_segments * args.num_experts;  // [num_experts]
  int* const first_row = num_rows + args.num_experts;              // [num_experts]
  const int thread = static_cast<int>(threadIdx.x);
  for (int i = thread; i < num_segments * args.num_experts; i += kThreads) counts[i] = 0;
  __syncthreads();
  const bool has_segment = thread < num_segments;
  int* const own = counts + thread * args.num_experts;
  const auto begin = static_cast<int>(static_cast<int64_t>(args.num_pairs) * thread / num_segments);
  const auto end =
      static_cast<int>(static_cast<int64_t>(args.num_pairs) * (thread + 1) / num_segments);
  for (int pair = begin; has_segment && pair < end; ++pair) ++own[args.topk_expert_ids[pair]];
  __syncthreads();
  for (int e = thread; e < args.num_experts; e += kThreads) {
    int sum = 0;
    for (int s = 0; s < num_segments; ++s) {
      const int count = counts[s * args.num_experts + e];
      counts[s * args.num_experts + e] = sum;
      sum += count;
    }
    num_rows[e] = sum;
  }
  __syncthreads();
  for (int expert = thread; expert < args.num_experts; expert += kThreads) {
    int first = 0;
    for (int e = 0; e < expert; ++e) first += num_rows[e];
    first_row[expert] = first;
    ListExpert(args, num_rows, expert, first, 1, args.few_rows, args.up.few, args.down.few);
    ListExpert(args, num_rows, expert, first, args.few_rows + 1, std::numeric_limits<int>::max(),
               args.up.many, args.down.many);
  }
  __syncthreads();
  for (int pair = begin; has_segment && pair < end; ++pair) {
    const int expert = args.topk_expert_ids[pair];
    args.pair_of_row[first_row[expert] + own[expert]++] = pair;
  }
}

}  // namespace

void RouteRows(Context& context, const RouteRowsArgs& args) {
  TRAMONTANE_CHECK(args.num_experts <= kMaxRoutedExperts);
  const int num_segments = std::clamp(args.num_pairs / kPairsOfSegment, 1,
                                      std::min(kThreads, kMaxCounts / args.num_experts - 2));
  LaunchShape shape = Blocks(1, kThreads);
  shape.shared_bytes = sizeof(int) * static_cast<size_t>((num_segments + 2) * args.num_experts);
  Launch(context, "routing rows", shape, &RouteRowsKernel, args, num_segments);
}

}  // namespace tramontane::cuda
