// Row-wise kernels, as templates over an instruction set: exp, SwiGLU, norm, rotation, softmax,
// combine, rounding.
#ifndef TRAMONTANE_KERNELS_CPU_ELEMENTWISE_H_
#define TRAMONTANE_KERNELS_CPU_ELEMENTWISE_H_

#include "kernels/cpu/always_inline.h"
#include "kernels/cpu/isa.h"

namespace tramontane::cpu {

// Calls body(i, n) for [0, count) in sixteens; n is below 16 for the last ones only.
template <typename Body>
TRAMONTANE_INLINE void ForSixteens(int64_t count, Body body) {
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) body(i, 16);
  if (i < count) body(i, static_cast<int>(count - i));
}

template <typename S>
TRAMONTANE_INLINE typename S::F LoadN(const float* p, int n) {
  return n == 16 ? S::Load(p) : S::LoadFirst(p, n);
}

template <typename S>
TRAMONTANE_INLINE void StoreN(float* p, typename S::F x, int n) {
  if (n == 16) return S::Store(p, x);
  S::StoreFirst(p, x, n);
}

// n elements of `dtype` (kF32 or kBF16) from element `index` of a row.
template <typename S>
TRAMONTANE_INLINE typename S::F LoadRow(const std::byte* row, DType dtype, int64_t index, int n) {
  if (dtype == DType::kF32) return LoadN<S>(reinterpret_cast<const float*>(row + index * 4), n);
  return n == 16 ? S::LoadBf16(row + index * 2) : S::LoadBf16First(row + index * 2, n);
}

template <typename S>
TRAMONTANE_INLINE void StoreRow(std::byte* row, DType dtype, int64_t index, typename S::F x,
                                int n) {
  if (dtype == DType::kF32) return StoreN<S>(reinterpret_cast<float*>(row + index * 4), x, n);
  if (n == 16) return S::StoreBf16(row + index * 2, x);
  S::StoreBf16First(row + index * 2, x, n);
}

// e^x. Within 1.5 units in the last place for x in [-87.3, 88.3]; 0 below, e^88.3 (2.2e38) above.
// x = n ln 2 + r with |r| <= ln 2 / 2; ln 2 in two parts, the first short enough that n times it is
// exact; e^r by its Taylor polynomial to r^7 / 7! (remainder below 3e-9 of e^r).
template <typename S>
TRAMONTANE_INLINE typename S::F Exp(typename S::F x) {
  using F = typename S::F;
  const F least = S::Set(-87.3f);
  const F clamped = S::Min(S::Set(88.3f), S::Max(least, x));
  const F n = S::RoundToInt(S::Mul(clamped, S::Set(0x1.715476p0f)));
  F r = S::NegMulAdd(n, S::Set(0x1.62e4p-1f), clamped);
  r = S::NegMulAdd(n, S::Set(0x1.7f7d1cp-20f), r);
  F p = S::Set(1.0f / 5040);
  p = S::MulAdd(p, r, S::Set(1.0f / 720));
  p = S::MulAdd(p, r, S::Set(1.0f / 120));
  p = S::MulAdd(p, r, S::Set(1.0f / 24));
  p = S::MulAdd(p, r, S::Set(1.0f / 6));
  p = S::MulAdd(p, r, S::Set(0.5f));
  p = S::MulAdd(S::Mul(r, r), p, r);
  return S::ZeroBelow(x, least, S::Mul(S::Add(p, S::Set(1.0f)), S::TwoToThe(n)));
}

template <typename S>
void SwiGlu(const float* sums, int n, std::byte* output, DType output_dtype) {
  using F = typename S::F;
  for (int i = 0; i < n; i += 16) {
    const F gate = S::Load(sums + i);
    const F denominator = S::Add(S::Set(1.0f), Exp<S>(S::Sub(S::Zero(), gate)));
    const F activated = S::Mul(S::Div(gate, denominator), S::Load(sums + kGateColumns + i));
    StoreRow<S>(output, output_dtype, i, activated, n - i < 16 ? n - i : 16);
  }
}

template <typename S>
void StoreFloats(const float* values, int64_t count, std::byte* output, DType output_dtype) {
  ForSixteens(count, [&](int64_t i, int n) TRAMONTANE_INLINE_LAMBDA {
    StoreRow<S>(output, output_dtype, i, LoadN<S>(values + i, n), n);
  });
}

template <typename S>
void Widen(const std::byte* input, DType dtype, int64_t count, float* output) {
  ForSixteens(count, [&](int64_t i, int n) TRAMONTANE_INLINE_LAMBDA {
    StoreN<S>(output + i, LoadRow<S>(input, dtype, i, n), n);
  });
}

// The sum of squares in four sets of sixteen sums (elements 64 j + 16 s + lane), then set 0 with 2,
// 1 with 3, both, and the lanes: an order that depends on hidden_size alone.
template <typename S>
void RmsNorm(const float* input, const float* weight, int64_t count, float epsilon,
             std::byte* output, DType output_dtype) {
  using F = typename S::F;
  F sums[4] = {S::Zero(), S::Zero(), S::Zero(), S::Zero()};
  int64_t i = 0;
  for (; i + 64 <= count; i += 64) {
    for (int s = 0; s < 4; ++s) {
      const F x = S::Load(input + i + 16 * s);
      sums[s] = S::MulAdd(x, x, sums[s]);
    }
  }
  for (int s = 0; i < count; i += 16, ++s) {
    const F x = LoadN<S>(input + i, count - i < 16 ? static_cast<int>(count - i) : 16);
    sums[s] = S::MulAdd(x, x, sums[s]);
  }
  const float sum = S::Sum(S::Add(S::Add(sums[0], sums[2]), S::Add(sums[1], sums[3])));
  const F scale = S::Set(1.0f / __builtin_sqrtf(sum / static_cast<float>(count) + epsilon));
  ForSixteens(count, [&](int64_t j, int n) TRAMONTANE_INLINE_LAMBDA {
    const F normalised = S::Mul(LoadN<S>(input + j, n), scale);
    StoreRow<S>(output, output_dtype, j, S::Mul(LoadN<S>(weight + j, n), normalised), n);
  });
}

template <typename S>
void Rotate(const float* cosines, const float* sines, int64_t half, float* head) {
  using F = typename S::F;
  ForSixteens(half, [&](int64_t i, int n) TRAMONTANE_INLINE_LAMBDA {
    const F a = LoadN<S>(head + i, n);
    const F b = LoadN<S>(head + half + i, n);
    const F cosine = LoadN<S>(cosines + i, n);
    const F sine = LoadN<S>(sines + i, n);
    StoreN<S>(head + i, S::Sub(S::Mul(a, cosine), S::Mul(b, sine)), n);
    StoreN<S>(head + half + i, S::Add(S::Mul(b, cosine), S::Mul(a, sine)), n);
  });
}

template <typename S>
void Softmax(const float* logits, int64_t count, float* probabilities) {
  using F = typename S::F;
  F most = S::Set(-__builtin_inff());
  ForSixteens(count, [&](int64_t i, int n) TRAMONTANE_INLINE_LAMBDA {
    most = S::Max(most, S::KeepLanes(LoadN<S>(logits + i, n), 0, n, -__builtin_inff()));
  });
  const F max_logit = S::Set(S::MaxLane(most));
  F sums = S::Zero();
  ForSixteens(count, [&](int64_t i, int n) TRAMONTANE_INLINE_LAMBDA {
    const F e = S::KeepLanes(Exp<S>(S::Sub(LoadN<S>(logits + i, n), max_logit)), 0, n, 0.0f);
    sums = S::Add(sums, e);
    StoreN<S>(probabilities + i, e, n);
  });
  const F sum = S::Set(S::Sum(sums));
  ForSixteens(count, [&](int64_t i, int n) TRAMONTANE_INLINE_LAMBDA {
    StoreN<S>(probabilities + i, S::Div(LoadN<S>(probabilities + i, n), sum), n);
  });
}

template <typename S>
void Combine(const std::byte* const* expert_rows, DType row_dtype, const float* weights,
             int64_t top_k, int64_t hidden_size, float* residual, float* moe_output) {
  using F = typename S::F;
  ForSixteens(hidden_size, [&](int64_t i, int n) TRAMONTANE_INLINE_LAMBDA {
    F moe = S::Zero();
    for (int64_t r = 0; r < top_k; ++r) {
      moe = S::MulAdd(S::Set(weights[r]), LoadRow<S>(expert_rows[r], row_dtype, i, n), moe);
    }
    StoreN<S>(residual + i, S::Add(LoadN<S>(residual + i, n), moe), n);
    if (moe_output != nullptr) StoreN<S>(moe_output + i, moe, n);
  });
}

// Whole sixteens by Transpose; the units are moved as floats, whose bits do not change.
template <typename S>
void TransposeUnits(const std::byte* const* rows, int64_t num_units, std::byte* lines) {
  using F = typename S::F;
  ForSixteens(num_units, [&](int64_t u, int n) TRAMONTANE_INLINE_LAMBDA {
    F block[16];
    for (int c = 0; c < 16; ++c) {
      block[c] = rows[c] == nullptr
                     ? S::Zero()
                     : LoadN<S>(reinterpret_cast<const float*>(rows[c] + u * kUnitBytes), n);
    }
    S::Transpose(block);
    for (int j = 0; j < n; ++j) {
      S::Store(reinterpret_cast<float*>(lines + (u + j) * kLineBytes), block[j]);
    }
  });
}

}  // namespace tramontane::cpu

#endif  // TRAMONTANE_KERNELS_CPU_ELEMENTWISE_H_
