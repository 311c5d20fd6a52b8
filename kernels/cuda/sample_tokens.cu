// Sampling by halving: which tokens top-k and top-p keep, and which one is drawn, are each found by
// asking how much lies on one side of a bound. Sums are of integers, so no order of threads shows.
#include "kernels/sample_tokens.h"

#include "kernels/cuda/greatest.cuh"
#include "kernels/cuda/intrinsics.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/operations.h"
#include "kernels/sampling_weight.h"

namespace tramontane::cuda {
namespace {

constexpr int kThreads = 1024;
constexpr int kWarps = kThreads / kWarpSize;

// What lies in the upper half of an interval, and how many in each half.
struct Halves {
  uint64_t weight;
  int32_t above, below;
};

// Sums over the block of threads. Calls take turns, so that one barrier each is enough.
class BlockSums {
 public:
  __device__ explicit BlockSums(Halves* shared) : shared_(shared) {}

  __device__ Halves Of(Halves own) {
#pragma unroll
    for (int mask = kWarpSize / 2; mask > 0; mask /= 2) {
      const auto low = static_cast<int32_t>(own.weight & 0xffffffffu);
      const auto high = static_cast<int32_t>(own.weight >> 32);
      own.weight += uint64_t{static_cast<uint32_t>(ShuffleXor(high, mask))} << 32 |
                    static_cast<uint32_t>(ShuffleXor(low, mask));
      own.above += ShuffleXor(own.above, mask);
      own.below += ShuffleXor(own.below, mask);
    }
    Halves* const sums = shared_ + turn_ * kWarps;
    turn_ ^= 1;
    if (threadIdx.x % kWarpSize == 0) sums[threadIdx.x / kWarpSize] = own;
    __syncthreads();
    Halves all = {};
    for (int warp = 0; warp < kWarps; ++warp) {
      all.weight += sums[warp].weight;
      all.above += sums[warp].above;
      all.below += sums[warp].below;
    }
    return all;
  }

 private:
  Halves* const shared_;  // [2, kWarps]
  int turn_ = 0;
};

// A row, and which of its tokens are kept: those whose keys are above `floor`, and that weigh at
// least so much.
struct Kept {
  const float* row;
  int32_t num_columns;
  float greatest, temperature;
  uint64_t floor = 0;
  uint64_t least_weight = 0;

  __device__ __forceinline__ uint64_t Key(int32_t id) const { return LikelihoodKey(row[id], id); }
  // 0 for a token that is not kept.
  __device__ __forceinline__ uint64_t Weight(int32_t id) const {
    if (Key(id) <= floor) return 0;
    const uint64_t weight = SamplingWeight(row[id], greatest, temperature);
    return weight < least_weight ? 0 : weight;
  }
};

// Raises the floor until what is above it is no more than the likeliest tokens that reach `wanted`:
// so many tokens, or so much weight. All that is kept reaches it.
template <bool kByWeight>
__device__ __forceinline__ void KeepLikeliest(uint64_t wanted, BlockSums& sums, Kept& kept) {
  uint64_t low = kept.floor, high = ~uint64_t{0};  // reaches it above `low`, not above `high`
  uint64_t above_high = 0;
  int32_t between = kept.num_columns;
  while (high - low > 1 && between > 1) {
    const uint64_t middle = low + (high - low) / 2;
    Halves own = {};
    for (auto id = static_cast<int32_t>(threadIdx.x); id < kept.num_columns; id += kThreads) {
      const uint64_t key = kept.Key(id);
      if (key <= low || key > high) continue;
      if (key <= middle) {
        ++own.below;
        continue;
      }
      ++own.above;
      own.weight +=
          kByWeight ? SamplingWeight(kept.row[id], kept.greatest, kept.temperature) : uint64_t{1};
    }
    const Halves all = sums.Of(own);
    if (above_high + all.weight >= wanted) {
      low = middle;
      between = all.above;
    } else {
      high = middle;
      above_high += all.weight;
      between = all.below;
    }
  }
  kept.floor = low;
}

// All that is kept weighs.
__device__ __forceinline__ uint64_t TotalWeight(const Kept& kept, BlockSums& sums) {
  Halves own = {};
  for (auto id = static_cast<int32_t>(threadIdx.x); id < kept.num_columns; id += kThreads) {
    own.weight += kept.Weight(id);
  }
  return sums.Of(own).weight;
}

// The token that holds unit `unit` of the weight of those that are kept, in the order of ids.
__device__ __forceinline__ int32_t TokenAt(uint64_t unit, const Kept& kept, BlockSums& sums) {
  int32_t begin = 0, end = kept.num_columns;  // it lies there
  uint64_t before = 0;
  while (end - begin > 1) {
    const int32_t middle = begin + (end - begin) / 2;
    Halves own = {};
    for (int32_t id = begin + static_cast<int32_t>(threadIdx.x); id < middle; id += kThreads) {
      own.weight += kept.Weight(id);
    }
    const uint64_t first_half = sums.Of(own).weight;
    if (unit < before + first_half) {
      end = middle;
    } else {
      before += first_half;
      begin = middle;
    }
  }
  return begin;
}

// A block of threads a row.
template <int kWidth>
__global__ void __launch_bounds__(kThreads)
    SampleTokensKernel(const SampleTokensArgs args, const TokenSampling* sampling_of_rows) {
  LetNextStart();
  AwaitPrevious();
  __shared__ float values[kWarpSize];
  __shared__ int32_t columns[kWarpSize];
  __shared__ Halves halves[2 * kWarps];
  const TokenSampling sampling = sampling_of_rows[blockIdx.x];
  const float* const row = args.rows + blockIdx.x * args.num_columns;
  const Greatest found = GreatestOfRow<kThreads, kWidth>(row, args.num_columns, values, columns);
  __syncthreads();
  if (threadIdx.x == 0) {
    values[0] = found.value;
    columns[0] = found.column;
    if (found.column < 0 || sampling.temperature == 0.0f) args.ids[blockIdx.x] = found.column;
  }
  __syncthreads();
  if (columns[0] < 0 || sampling.temperature == 0.0f) return;

  BlockSums sums(halves);
  Kept kept = {row, static_cast<int32_t>(args.num_columns), values[0], sampling.temperature};
  if (sampling.top_k > 0 && sampling.top_k < kept.num_columns) {
    KeepLikeliest<false>(static_cast<uint64_t>(sampling.top_k), sums, kept);
  }
  if (sampling.top_p < 1.0f) {
    KeepLikeliest<true>(TopPWeight(TotalWeight(kept, sums), sampling.top_p), sums, kept);
  }
  if (sampling.min_p > 0.0f) kept.least_weight = MinPWeight(sampling.min_p);
  const uint64_t unit = DrawnUnit(TotalWeight(kept, sums), sampling.random);
  const int32_t token = TokenAt(unit, kept, sums);
  if (threadIdx.x == 0) args.ids[blockIdx.x] = token;
}

}  // namespace

void SampleTokens(Context& context, const SampleTokensArgs& args) {
  if (args.num_rows == 0) return;
  auto* const sampling = context.StageArray<TokenSampling>(args.num_rows);
  for (int64_t r = 0; r < args.num_rows; ++r) sampling[r] = args.sampling[r];
  SampleTokensArgs staged = args;
  staged.sampling = nullptr;
  Launch(context, "SampleTokens", Blocks(args.num_rows, kThreads),
         AreVectors(args.rows, args.num_columns) ? &SampleTokensKernel<4> : &SampleTokensKernel<1>,
         staged, static_cast<const TokenSampling*>(sampling));
}

}  // namespace tramontane::cuda
