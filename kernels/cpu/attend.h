// Attention of some rows of one sequence under one KV head, as a template over an instruction set:
// online softmax over tiles of kKvTile absolute positions, in order.
#ifndef TRAMONTANE_KERNELS_CPU_ATTEND_H_
#define TRAMONTANE_KERNELS_CPU_ATTEND_H_

#include "kernels/cpu/elementwise.h"

namespace tramontane::cpu {

// A query takes the tiles from that of its first visible position to that of its own; a tile's
// arithmetic depends on the query, the tile and the visible positions in it alone. So a query's
// bits do not depend on the other rows of the task.
template <typename S>
class Attention {
 public:
  using F = typename S::F;

  TRAMONTANE_INLINE explicit Attention(const AttentionTask& task)
      : task_(task),
        padded_((task.head_dim + 15) / 16 * 16),
        row_bytes_(task.head_dim * static_cast<int64_t>(DTypeSize(task.cache_dtype))),
        num_queries_(task.num_rows * task.group_size),
        queries_(task.scratch),
        outputs_(queries_ + num_queries_ * padded_),
        scores_(outputs_ + num_queries_ * padded_),
        maxima_(scores_ + num_queries_ * 16),
        sums_(maxima_ + num_queries_),
        keys_(sums_ + num_queries_),
        values_(keys_ + 16 * padded_) {}

  TRAMONTANE_INLINE void Run() {
    LoadQueries();
    const int64_t last_tile = (task_.first_position + task_.num_rows - 1) / 16;
    for (int64_t tile = FirstVisible(0) / 16; tile <= last_tile; ++tile) {
      // Rows that see some position of the tile are consecutive.
      int64_t begin = 0;
      while (task_.first_position + begin < tile * 16) ++begin;
      int64_t end = begin;
      while (end < task_.num_rows && FirstVisible(end) < (tile + 1) * 16) ++end;
      if (begin == end) continue;
      if (tile < last_tile) PrefetchTile(tile + 1);
      LoadTile(tile);
      Score(begin * task_.group_size, end * task_.group_size);
      for (int64_t row = begin; row < end; ++row) AddTile(tile, row);
    }
    StoreOutputs();
  }

 private:
  static constexpr int kQueriesAtOnce = 8;

  TRAMONTANE_INLINE int64_t FirstVisible(int64_t row) const {
    const int64_t first = task_.first_position + row - task_.window + 1;
    return task_.window == 0 || first < 0 ? 0 : first;
  }

  // Scaled by 1 / sqrt(head_dim), padded with zeros.
  TRAMONTANE_INLINE void LoadQueries() {
    const F scale = S::Set(1.0f / __builtin_sqrtf(static_cast<float>(task_.head_dim)));
    for (int64_t q = 0; q < num_queries_; ++q) {
      const float* query = task_.qkv + q / task_.group_size * task_.qkv_stride +
                           q % task_.group_size * task_.head_dim;
      ForSixteens(task_.head_dim, [&](int64_t i, int n) TRAMONTANE_INLINE_LAMBDA {
        S::Store(queries_ + q * padded_ + i, S::Mul(LoadN<S>(query + i, n), scale));
        S::Store(outputs_ + q * padded_ + i, S::Zero());
      });
      maxima_[q] = -__builtin_inff();
      sums_[q] = 0;
    }
  }

  // Bytes from keys or values of block 0 to the first position of a tile.
  TRAMONTANE_INLINE int64_t TileOffset(int64_t tile) const {
    const int64_t position = tile * 16;
    return task_.page_table[position / task_.block_size] * task_.block_stride +
           position % task_.block_size * row_bytes_;
  }

  // The next tile may lie in another block, where the processor does not look ahead.
  TRAMONTANE_INLINE void PrefetchTile(int64_t tile) const {
    const int64_t offset = TileOffset(tile);
    for (int64_t i = 0; i < 16 * row_bytes_; i += 64) {
      __builtin_prefetch(task_.keys + offset + i);
      __builtin_prefetch(task_.values + offset + i);
    }
  }

  // keys_ [padded_][16], values_ [16][padded_]. Positions past the last row's may never have been
  // written; what is read there is masked in AddTile.
  TRAMONTANE_INLINE void LoadTile(int64_t tile) {
    const int64_t offset = TileOffset(tile);
    const std::byte* keys = task_.keys + offset;
    const std::byte* values = task_.values + offset;
    ForSixteens(task_.head_dim, [&](int64_t i, int n) TRAMONTANE_INLINE_LAMBDA {
      F block[16];
#pragma GCC unroll 16
      for (int j = 0; j < 16; ++j) {
        block[j] = LoadRow<S>(keys + j * row_bytes_, task_.cache_dtype, i, n);
        const F value = LoadRow<S>(values + j * row_bytes_, task_.cache_dtype, i, n);
        S::Store(values_ + j * padded_ + i, value);
      }
      S::Transpose(block);
#pragma GCC unroll 16
      for (int d = 0; d < 16; ++d) S::Store(keys_ + (i + d) * 16, block[d]);
    });
  }

  TRAMONTANE_INLINE void Score(int64_t begin, int64_t end) {
    int64_t q = begin;
    for (; q + kQueriesAtOnce <= end; q += kQueriesAtOnce) ScoreQueries<kQueriesAtOnce>(q);
    for (; q + 4 <= end; q += 4) ScoreQueries<4>(q);
    for (; q < end; ++q) ScoreQueries<1>(q);
  }

  // Lanes across positions, head_dim in order.
  template <int kQueries>
  TRAMONTANE_INLINE void ScoreQueries(int64_t q) {
    F sums[kQueries];
#pragma GCC unroll 8
    for (int i = 0; i < kQueries; ++i) sums[i] = S::Zero();
    const float* query = queries_ + q * padded_;
    for (int64_t d = 0; d < task_.head_dim; ++d) {
      const F key = S::Load(keys_ + d * 16);
#pragma GCC unroll 8
      for (int i = 0; i < kQueries; ++i) {
        sums[i] = S::MulAdd(S::Set(query[i * padded_ + d]), key, sums[i]);
      }
    }
#pragma GCC unroll 8
    for (int i = 0; i < kQueries; ++i) S::Store(scores_ + (q + i) * 16, sums[i]);
  }

  TRAMONTANE_INLINE void AddTile(int64_t tile, int64_t row) {
    const int64_t first = FirstVisible(row) - tile * 16;
    const int64_t last = task_.first_position + row - tile * 16;
    const int begin = first > 0 ? static_cast<int>(first) : 0;
    const int end = last < 15 ? static_cast<int>(last) + 1 : 16;
    const int64_t group_end = (row + 1) * task_.group_size;
    int64_t q = row * task_.group_size;
    for (; q + 4 <= group_end; q += 4) AddToQueries<4, S::kSumsOfFour>(q, begin, end);
    for (; q < group_end; ++q) AddToQueries<1, 4>(q, begin, end);
  }

  template <int kQueries, int kVectors>
  TRAMONTANE_INLINE void AddToQueries(int64_t q, int begin, int end) {
    float rescale[kQueries];
    for (int i = 0; i < kQueries; ++i) rescale[i] = Weigh(q + i, begin, end);
    int64_t d = 0;
    for (; d + 16 * kVectors <= padded_; d += 16 * kVectors) {
      AddValues<kQueries, kVectors>(q, d, begin, end, rescale);
    }
    for (; d < padded_; d += 16) AddValues<kQueries, 1>(q, d, begin, end, rescale);
  }

  // Turns the tile's scores into weights exp(score - maximum) and returns what the sums so far must
  // be multiplied by.
  TRAMONTANE_INLINE float Weigh(int64_t q, int begin, int end) {
    const F scores = S::KeepLanes(S::Load(scores_ + q * 16), begin, end, -__builtin_inff());
    const float tile_max = S::MaxLane(scores);
    const float old_max = maxima_[q];
    const float new_max = tile_max > old_max ? tile_max : old_max;
    const F weights = Exp<S>(S::Sub(scores, S::Set(new_max)));
    S::Store(scores_ + q * 16, weights);
    float rescale = 1.0f;
    if (new_max != old_max) {
      float lanes[16];
      S::Store(lanes, Exp<S>(S::Set(old_max - new_max)));
      rescale = lanes[0];
    }
    maxima_[q] = new_max;
    sums_[q] = sums_[q] * rescale + S::Sum(weights);
    return rescale;
  }

  // Lanes across head_dim, positions in order; positions that the queries do not see are not read.
  template <int kQueries, int kVectors>
  TRAMONTANE_INLINE void AddValues(int64_t q, int64_t d, int begin, int end,
                                   const float rescale[kQueries]) {
    float* outputs = outputs_ + q * padded_ + d;
    const float* weights = scores_ + q * 16;
    F sums[kQueries][kVectors];
#pragma GCC unroll 4
    for (int i = 0; i < kQueries; ++i) {
      const F factor = S::Set(rescale[i]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        sums[i][v] = S::Mul(S::Load(outputs + i * padded_ + 16 * v), factor);
      }
    }
    for (int j = begin; j < end; ++j) {
      const float* value = values_ + j * padded_ + d;
#pragma GCC unroll 4
      for (int i = 0; i < kQueries; ++i) {
        const F weight = S::Set(weights[i * 16 + j]);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) {
          sums[i][v] = S::MulAdd(weight, S::Load(value + 16 * v), sums[i][v]);
        }
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < kQueries; ++i) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) S::Store(outputs + i * padded_ + 16 * v, sums[i][v]);
    }
  }

  TRAMONTANE_INLINE void StoreOutputs() {
    const auto element_bytes = static_cast<int64_t>(DTypeSize(task_.output_dtype));
    for (int64_t q = 0; q < num_queries_; ++q) {
      std::byte* output = task_.output + (q / task_.group_size * task_.output_stride +
                                          q % task_.group_size * task_.head_dim) *
                                             element_bytes;
      const F sum = S::Set(sums_[q]);
      ForSixteens(task_.head_dim, [&](int64_t i, int n) TRAMONTANE_INLINE_LAMBDA {
        StoreRow<S>(output, task_.output_dtype, i, S::Div(S::Load(outputs_ + q * padded_ + i), sum),
                    n);
      });
    }
  }

  const AttentionTask& task_;
  const int64_t padded_;     // head_dim up to whole sixteens
  const int64_t row_bytes_;  // of one cached key or value
  const int64_t num_queries_;
  float* const queries_;  // [num_queries_, padded_]
  float* const outputs_;  // [num_queries_, padded_], not yet divided by sums_
  float* const scores_;   // [num_queries_, 16], then weights
  float* const maxima_;   // [num_queries_]
  float* const sums_;     // [num_queries_]
  float* const keys_;     // [padded_, 16]
  float* const values_;   // [16, padded_]
};

template <typename S>
void Attend(const AttentionTask& task) {
  Attention<S>(task).Run();
}

}  // namespace tramontane::cpu

#endif  // TRAMONTANE_KERNELS_CPU_ATTEND_H_
