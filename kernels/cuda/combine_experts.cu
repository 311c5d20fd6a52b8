#include <algorithm>

#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/move_rows.h"
#include "kernels/cuda/operations.h"

namespace tramontane::cuda {
namespace {

constexpr int kThreads = 128;
// Of a token's elements, each by a block of threads.
constexpr unsigned kMaxParts = 64;
// So many pointers travel as a kernel's parameter: a list in pinned memory is read over the bus.
constexpr int kMaxParameterRows = 128;

// Where the rows are, in order of preference: `stride` bytes apart, in `few`, or in a staged list.
struct RowPlaces {
  const std::byte* first = nullptr;
  int64_t stride = 0;
  const std::byte* const* staged = nullptr;
  const std::byte* few[kMaxParameterRows] = {};

  __device__ __forceinline__ const std::byte* row(int64_t r) const {
    if (first != nullptr) return first + r * stride;
    return staged != nullptr ? staged[r] : few[r];
  }
};

__device__ __forceinline__ void AddSum(const CombineExpertsArgs& args, int64_t index, float moe) {
  args.residual[index] += moe;
  if (args.moe_output != nullptr) args.moe_output[index] = moe;
}

// Eight elements at once, of rows of bf16; all that is read and written is aligned to 16 bytes.
__device__ __forceinline__ void CombineVector(const CombineExpertsArgs& args,
                                              const RowPlaces& places, int64_t token,
                                              int64_t vector) {
  const int64_t first = token * args.hidden_size + vector * 8;
  Elements<float, 4> sums[2], moe[2] = {};
#pragma unroll
  for (int half = 0; half < 2; ++half) sums[half] = LoadFloats<4>(args.residual + first + half * 4);
#pragma unroll 2
  for (int64_t r = token * args.top_k; r < (token + 1) * args.top_k; ++r) {
    const uint4 row = reinterpret_cast<const uint4*>(places.row(r))[vector];
    const float weight = args.gating_weights[r];
    const uint32_t words[4] = {row.x, row.y, row.z, row.w};
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const uint32_t bits = i % 2 == 0 ? words[i / 2] & 0xffffu : words[i / 2] >> 16;
      float& sum = moe[i / 4].at[i % 4];
      sum = fmaf(weight, WidenBf16(bits), sum);
    }
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
#pragma unroll
    for (int i = 0; i < 4; ++i) sums[half].at[i] += moe[half].at[i];
    StoreFloats(args.residual + first + half * 4, sums[half]);
    if (args.moe_output != nullptr) StoreFloats(args.moe_output + first + half * 4, moe[half]);
  }
}

// Blocks of threads along x take a token each, along y parts of its elements in turn;
// args.expert_rows is not read here.
__global__ void __launch_bounds__(kThreads)
    CombineExpertsKernel(const CombineExpertsArgs args, const __grid_constant__ RowPlaces places,
                         bool vectors) {
  LetNextStart();
  AwaitPrevious();
  const int64_t token = blockIdx.x, first = blockIdx.y * kThreads + threadIdx.x;
  const int64_t step = int64_t{gridDim.y} * kThreads;
  if (vectors) {
    for (int64_t i = first; i < args.hidden_size / 8; i += step) {
      CombineVector(args, places, token, i);
    }
    return;
  }
  for (int64_t i = first; i < args.hidden_size; i += step) {
    float moe = 0;
    for (int64_t r = token * args.top_k; r < (token + 1) * args.top_k; ++r) {
      moe = fmaf(args.gating_weights[r], LoadElement(places.row(r), args.row_dtype, i), moe);
    }
    AddSum(args, token * args.hidden_size + i, moe);
  }
}

// Rows that are not the backend's memory are staged. `addresses`: all of them, or'ed.
RowPlaces Place(Context& context, const CombineExpertsArgs& args, int64_t row_bytes,
                uintptr_t& addresses) {
  const int64_t num_rows = args.num_tokens * args.top_k;
  RowPlaces places;
  const std::byte** list = places.few;
  if (num_rows > kMaxParameterRows) {
    list = context.StageArray<const std::byte*>(num_rows);
    places.staged = list;
  }
  bool together = true;
  for (int64_t r = 0; r < num_rows; ++r) {
    list[r] = ReadableRow(context, args.expert_rows[r], row_bytes);
    addresses |= reinterpret_cast<uintptr_t>(list[r]);
    together = together && list[r] == list[0] + r * row_bytes;
  }
  if (!together) return places;
  RowPlaces in_order;
  in_order.first = list[0];
  in_order.stride = row_bytes;
  return in_order;
}

}  // namespace

void CombineExperts(Context& context, const CombineExpertsArgs& args) {
  if (args.num_tokens * args.top_k == 0) return;
  const int64_t row_bytes = args.hidden_size * static_cast<int64_t>(DTypeSize(args.row_dtype));
  uintptr_t addresses = 0;
  const RowPlaces places = Place(context, args, row_bytes, addresses);
  addresses |= reinterpret_cast<uintptr_t>(args.residual);
  addresses |= reinterpret_cast<uintptr_t>(args.moe_output);
  const bool vectors =
      args.row_dtype == DType::kBF16 && args.hidden_size % 8 == 0 && addresses % 16 == 0;
  LaunchShape shape;
  shape.grid = dim3(static_cast<unsigned>(args.num_tokens),
                    std::min(DivideUp(args.hidden_size / (vectors ? 8 : 1), kThreads), kMaxParts));
  shape.block = dim3(kThreads);
  CombineExpertsArgs placed = args;
  placed.expert_rows = nullptr;
  Launch(context, "CombineExperts", shape, &CombineExpertsKernel, placed, places, vectors);
}

}  // namespace tramontane::cuda
