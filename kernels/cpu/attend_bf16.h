// Attention over a bf16 cache by vdpbf16ps, for rows of one sequence under one KV head. Only for
// translation units built with AVX-512's flags and -mavx512bf16.
#ifndef TRAMONTANE_KERNELS_CPU_ATTEND_BF16_H_
#define TRAMONTANE_KERNELS_CPU_ATTEND_BF16_H_

#include "kernels/cpu/attend_bf16_tile.h"
#include "kernels/cpu/elementwise.h"

namespace tramontane::cpu {

// As Attention in attend.h, but the softmax goes in tiles of Bf16Tile::kPositions, of which a query
// takes the sixteens from that of its first visible position to that of its own; which those are
// depends on its position alone, and so do its bits. Queries, unscaled, and weights are rounded to
// bf16; the sum by which outputs are divided takes the weights before that, as FlashAttention and
// the eager attention of Hugging Face Transformers do.
class Bf16Attention {
 public:
  using S = SimdAvx512;
  using F = S::F;

  TRAMONTANE_INLINE explicit Bf16Attention(const AttentionTask& task)
      : task_(task),
        tile_(task),
        padded_(tile_.padded()),
        query_stride_((tile_.num_units() + 15) / 16 * 16),
        num_queries_(task.num_rows * task.group_size),
        outputs_(tile_.end()),
        sums_(outputs_ + num_queries_ * padded_),
        queries_(sums_ + num_queries_ * 16),
        maxima_(queries_ + num_queries_ * query_stride_) {}

  TRAMONTANE_INLINE void Run() {
    LoadQueries();
    const int64_t last_tile = (task_.first_position + task_.num_rows - 1) / Bf16Tile::kPositions;
    int64_t begin = 0;
    int64_t end = 0;
    for (int64_t tile = FirstVisible(0) / Bf16Tile::kPositions; tile <= last_tile; ++tile) {
      // Rows that see some position of the tile are consecutive.
      const int64_t first = tile * Bf16Tile::kPositions;
      while (task_.first_position + begin < first) ++begin;
      while (end < task_.num_rows && FirstVisible(end) < first + Bf16Tile::kPositions) ++end;
      if (begin < end) AddTile(tile, begin, end);
    }
    StoreOutputs();
  }

 private:
  static constexpr int kMaxQueries = 4;

  // Sixteens of the tile that a row sees.
  struct Sixteens {
    int64_t begin, end;
    bool operator==(const Sixteens&) const = default;
  };
  // Queries that see the same sixteens of a tile, as many as registers take at once.
  struct Work {
    int64_t tile;
    Sixteens seen;
    int64_t query;
    bool masked;                 // some positions of the sixteens are not visible to some query
    const std::byte* next_keys;  // asked for meanwhile, one line a unit; or null
    const std::byte* next_values;
  };
  // What one Work hands from step to step.
  struct Weights {
    alignas(64) float scores[kMaxQueries][Bf16Tile::kPositions];
    alignas(64) uint16_t weights[kMaxQueries][Bf16Tile::kPositions];  // bf16
    float rescale[kMaxQueries];
  };

  TRAMONTANE_INLINE int64_t FirstVisible(int64_t row) const {
    const int64_t first = task_.first_position + row - task_.window + 1;
    return task_.window == 0 || first < 0 ? 0 : first;
  }

  TRAMONTANE_INLINE Sixteens SeenBy(int64_t row, int64_t tile) const {
    const int64_t begin = FirstVisible(row) / 16 - tile * Bf16Tile::kSixteens;
    const int64_t end = (task_.first_position + row) / 16 + 1 - tile * Bf16Tile::kSixteens;
    return {begin < 0 ? 0 : begin, end > Bf16Tile::kSixteens ? Bf16Tile::kSixteens : end};
  }

  TRAMONTANE_INLINE void LoadQueries() {
    for (int64_t q = 0; q < num_queries_; ++q) {
      const float* query = task_.qkv + q / task_.group_size * task_.qkv_stride +
                           q % task_.group_size * task_.head_dim;
      auto* halves = reinterpret_cast<std::byte*>(queries_ + q * query_stride_);
      ForSixteens(task_.head_dim, [&](int64_t i, int n) TRAMONTANE_INLINE_LAMBDA {
        S::StoreBf16(halves + i * 2, LoadN<S>(query + i, n));
        S::Store(outputs_ + q * padded_ + i, S::Zero());
      });
      S::Store(sums_ + q * 16, S::Zero());
      maxima_[q] = -__builtin_inff();
    }
  }

  TRAMONTANE_INLINE void AddTile(int64_t tile, int64_t begin, int64_t end) {
    const int64_t num_queries = (end - begin) * task_.group_size;
    tile_.Load(tile, SeenBy(begin, tile).begin, SeenBy(end - 1, tile).end,
               num_queries / kMaxQueries);
    int64_t num_works = 0;
    for (int64_t row = begin; row < end;) {
      const Sixteens seen = SeenBy(row, tile);
      int64_t last = row;
      while (last + 1 < end && SeenBy(last + 1, tile) == seen) ++last;
      const int64_t first = tile * Bf16Tile::kPositions;
      const bool masked = FirstVisible(last) > first + 16 * seen.begin ||
                          task_.first_position + row < first + 16 * seen.end - 1;
      Work work = {tile, seen, row * task_.group_size, masked, nullptr, nullptr};
      const int64_t query_end = (last + 1) * task_.group_size;
      while (work.query < query_end) {
        work.next_keys = tile_.NextKeys(tile, num_works);
        work.next_values = tile_.NextValues(tile, num_works);
        ++num_works;
        if (work.query + kMaxQueries <= query_end) {
          Attend<kMaxQueries>(work);
          work.query += kMaxQueries;
        } else {
          Attend<1>(work);
          ++work.query;
        }
      }
      row = last + 1;
    }
  }

  template <int kQueries>
  TRAMONTANE_INLINE void Attend(const Work& work) {
    Weights weights;
    switch (work.seen.end - work.seen.begin) {
      case 4:
        ScoreAndWeigh<kQueries, 4>(work, weights);
        break;
      case 3:
        ScoreAndWeigh<kQueries, 3>(work, weights);
        break;
      case 2:
        ScoreAndWeigh<kQueries, 2>(work, weights);
        break;
      default:
        ScoreAndWeigh<kQueries, 1>(work, weights);
    }
    int64_t d = 0;
    for (; d + 64 <= padded_; d += 64) AddValues<kQueries, 4>(work, d, weights);
    for (; d < padded_; d += 16) AddValues<kQueries, 1>(work, d, weights);
  }

  template <int kQueries, int kSixteens>
  TRAMONTANE_INLINE void ScoreAndWeigh(const Work& work, Weights& weights) {
    Score<kQueries, kSixteens>(work, weights);
    Weigh<kQueries, kSixteens>(work, weights);
  }

  TRAMONTANE_INLINE static __m512bh Bits(F units) { return __builtin_bit_cast(__m512bh, units); }

  // Lanes across positions, pairs of head_dim in order.
  template <int kQueries, int kSixteens>
  TRAMONTANE_INLINE void Score(const Work& work, Weights& weights) const {
    F sums[kQueries][kSixteens];
#pragma GCC unroll 4
    for (int i = 0; i < kQueries; ++i) {
#pragma GCC unroll 4
      for (int s = 0; s < kSixteens; ++s) sums[i][s] = S::Zero();
    }
    const float* query = queries_ + work.query * query_stride_;
    const float* keys = tile_.keys() + 16 * work.seen.begin;
    const std::byte* prefetch = PrefetchFrom(work.next_keys);
    const int64_t step = work.next_keys == nullptr ? 0 : 64;
    for (int64_t u = 0; u < tile_.num_units(); ++u) {
      __builtin_prefetch(prefetch + u * step);
      F line[kSixteens];
#pragma GCC unroll 4
      for (int s = 0; s < kSixteens; ++s) {
        line[s] = S::Load(keys + u * Bf16Tile::kPositions + 16 * s);
      }
#pragma GCC unroll 4
      for (int i = 0; i < kQueries; ++i) {
        const __m512bh unit = Bits(S::Set(query[i * query_stride_ + u]));
#pragma GCC unroll 4
        for (int s = 0; s < kSixteens; ++s) {
          sums[i][s] = _mm512_dpbf16_ps(sums[i][s], Bits(line[s]), unit);
        }
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < kQueries; ++i) {
#pragma GCC unroll 4
      for (int s = 0; s < kSixteens; ++s) S::Store(weights.scores[i] + 16 * s, sums[i][s]);
    }
  }

  // Turns scores into weights exp(scaled score - maximum).
  template <int kQueries, int kSixteens>
  TRAMONTANE_INLINE void Weigh(const Work& work, Weights& weights) {
    const F scale = S::Set(1.0f / __builtin_sqrtf(static_cast<float>(task_.head_dim)));
    float differences[16] = {};
#pragma GCC unroll 4
    for (int i = 0; i < kQueries; ++i) {
      float* scores = weights.scores[i];
      F most = S::Set(-__builtin_inff());
#pragma GCC unroll 4
      for (int s = 0; s < kSixteens; ++s) {
        const F scaled = S::Mul(S::Load(scores + 16 * s), scale);
        const F visible =
            work.masked ? Mask(scaled, work.query + i, work.tile, work.seen.begin + s) : scaled;
        S::Store(scores + 16 * s, visible);
        most = S::Max(most, visible);
      }
      const float tile_max = S::MaxLane(most);
      float& maximum = maxima_[work.query + i];
      const float new_max = tile_max > maximum ? tile_max : maximum;
      differences[i] = maximum - new_max;
      maximum = new_max;
    }
    float rescale[16];
    S::Store(rescale, Exp<S>(S::Load(differences)));
#pragma GCC unroll 4
    for (int i = 0; i < kQueries; ++i) {
      weights.rescale[i] = rescale[i];
      const F maximum = S::Set(maxima_[work.query + i]);
      float* sums = sums_ + (work.query + i) * 16;
      F sum = S::Mul(S::Load(sums), S::Set(rescale[i]));
#pragma GCC unroll 4
      for (int s = 0; s < kSixteens; ++s) {
        const F weight = Exp<S>(S::Sub(S::Load(weights.scores[i] + 16 * s), maximum));
        sum = S::Add(sum, weight);
        // Subnormals become zero, as they would in vdpbf16ps.
        const auto rounded = __builtin_bit_cast(__m256i, _mm512_cvtneps_pbh(weight));
        _mm256_store_si256(reinterpret_cast<__m256i*>(weights.weights[i] + 16 * s), rounded);
      }
      S::Store(sums, sum);
    }
  }

  // Minus infinity for positions of a sixteen that a query does not see.
  TRAMONTANE_INLINE F Mask(F scores, int64_t query, int64_t tile, int64_t sixteen) const {
    const int64_t row = query / task_.group_size;
    const int64_t position = tile * Bf16Tile::kPositions + sixteen * 16;
    const int64_t first = FirstVisible(row) - position;
    const int64_t last = task_.first_position + row - position;
    return S::KeepLanes(scores, first > 0 ? static_cast<int>(first) : 0,
                        last < 15 ? static_cast<int>(last) + 1 : 16, -__builtin_inff());
  }

  // Lanes across head_dim, pairs of positions in order, all of the sixteens seen: where a query
  // sees no position, its weight is zero.
  template <int kQueries, int kVectors>
  TRAMONTANE_INLINE void AddValues(const Work& work, int64_t d, const Weights& weights) {
    float* outputs = outputs_ + work.query * padded_ + d;
    F sums[kQueries][kVectors];
#pragma GCC unroll 4
    for (int i = 0; i < kQueries; ++i) {
      const F factor = S::Set(weights.rescale[i]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        sums[i][v] = S::Mul(S::Load(outputs + i * padded_ + 16 * v), factor);
      }
    }
    const int64_t pairs = 8 * (work.seen.end - work.seen.begin);
    const float* values = tile_.values() + 8 * work.seen.begin * padded_ + d;
    const std::byte* prefetch = PrefetchFrom(work.next_values) + d * 32;
    const int64_t step = work.next_values == nullptr || kVectors == 1 ? 0 : 64;
    for (int64_t j = 0; j < pairs; ++j) {
      __builtin_prefetch(prefetch + j * step);
      F line[kVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) line[v] = S::Load(values + j * padded_ + 16 * v);
#pragma GCC unroll 4
      for (int i = 0; i < kQueries; ++i) {
        int unit;
        __builtin_memcpy(&unit, weights.weights[i] + 2 * j, 4);
        const auto pair = __builtin_bit_cast(__m512bh, _mm512_set1_epi32(unit));
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) {
          sums[i][v] = _mm512_dpbf16_ps(sums[i][v], Bits(line[v]), pair);
        }
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < kQueries; ++i) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) S::Store(outputs + i * padded_ + 16 * v, sums[i][v]);
    }
  }

  // Somewhere harmless if there is nothing to ask for.
  TRAMONTANE_INLINE const std::byte* PrefetchFrom(const std::byte* next) const {
    return next == nullptr ? reinterpret_cast<const std::byte*>(tile_.keys()) : next;
  }

  // Adding zero makes of -0 the 0: products with weights of zero, which a row may have or not have
  // been computed with, can change nothing but that sign.
  TRAMONTANE_INLINE void StoreOutputs() {
    const auto element_bytes = static_cast<int64_t>(DTypeSize(task_.output_dtype));
    for (int64_t q = 0; q < num_queries_; ++q) {
      std::byte* output = task_.output + (q / task_.group_size * task_.output_stride +
                                          q % task_.group_size * task_.head_dim) *
                                             element_bytes;
      const F sum = S::Set(S::Sum(S::Load(sums_ + q * 16)));
      ForSixteens(task_.head_dim, [&](int64_t i, int n) TRAMONTANE_INLINE_LAMBDA {
        const F attended = S::Div(S::Load(outputs_ + q * padded_ + i), sum);
        StoreRow<S>(output, task_.output_dtype, i, S::Add(attended, S::Zero()), n);
      });
    }
  }

  const AttentionTask& task_;
  Bf16Tile tile_;
  const int64_t padded_;        // head_dim up to whole sixteens
  const int64_t query_stride_;  // units
  const int64_t num_queries_;
  float* const outputs_;  // [num_queries_, padded_], not yet divided by sums_
  float* const sums_;     // [num_queries_, 16]; a query's sum is that of its lanes
  float* const queries_;  // [num_queries_, query_stride_] units of two bf16
  float* const maxima_;   // [num_queries_]
};

}  // namespace tramontane::cpu

#endif  // TRAMONTANE_KERNELS_CPU_ATTEND_BF16_H_
