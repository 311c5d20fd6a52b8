#include "kernels/cpu/gemm.h"

#include <algorithm>

namespace tramontane::cpu {
namespace {

// With several tiles of rows, lines of a panel that are used for all rows before the next are read.
// While memory is what a product waits for, few: the next ones stay close, in the L1 cache. Many
// where arithmetic is, so that sums are stored and reloaded rarely. Measured: docs/benchmarks.md.
constexpr int64_t UnitsAtOnce(int64_t num_tiles) {
  return num_tiles <= 2 ? 32 : num_tiles == 3 ? 64 : num_tiles <= 8 ? 128 : 512;
}
// Consecutive weights that one thread reads before it asks for more work, so that most of what it
// asks for ahead is its own.
constexpr int64_t kBytesPerTask = 1 << 20;
// How far ahead of their use weights are asked for: about a microsecond of reading from memory.
constexpr int64_t kPrefetchBytes = 4096;
constexpr int64_t kTasksPerThread = 8;

struct Task {
  size_t problem;
  int64_t first_row, num_rows;
  int64_t first_panel, num_panels;
};

// How many pieces of at most `most` cover `count`.
int64_t Pieces(int64_t count, int64_t most) { return (count + most - 1) / most; }

class Multiplication {
 public:
  Multiplication(const Context& context, const GemmProblem& problem)
      : kernel_(context.compute_dtype == DType::kBF16 ? context.kernels.gemm_bf16
                                                      : context.kernels.gemm_f32),
        max_rows_(context.kernels.max_tile_rows),
        problem_(problem) {}

  // sums [num_rows][kPanelColumns]
  void Run(int64_t first_row, int64_t num_rows, int64_t panel, float* sums) const {
    const PackedPanels& weights = *problem_.weights;
    const int64_t num_units = weights.num_units();
    const int64_t num_tiles = Pieces(num_rows, max_rows_);
    const int64_t step = num_tiles == 1 ? num_units : UnitsAtOnce(num_tiles);
    for (int64_t u = 0; u < num_units; u += step) {
      GemmTile tile;
      tile.num_units = std::min(step, num_units - u);
      tile.weights = weights.panel(panel) + u * kLineBytes;
      tile.half_unit = weights.half_unit() && u + tile.num_units == num_units;
      tile.num_vectors = Vectors(weights.columns(panel));
      tile.continue_sums = u > 0;
      RunTiles(tile, first_row, num_rows, u * kUnitBytes, sums);
    }
  }

 private:
  static int Vectors(int64_t columns) { return columns <= 16 ? 1 : columns <= 32 ? 2 : 4; }

  // Tiles of nearly the same number of rows: eight are four and four, not six and two.
  void RunTiles(GemmTile tile, int64_t first_row, int64_t num_rows, int64_t offset,
                float* sums) const {
    const int64_t num_tiles = Pieces(num_rows, max_rows_);
    const std::byte* rows[kMaxTileRows];
    tile.rows = rows;
    int64_t begin = 0;
    for (int64_t t = 0; t < num_tiles; ++t) {
      const int64_t end = num_rows * (t + 1) / num_tiles;
      for (int64_t r = begin; r < end; ++r) rows[r - begin] = problem_.rows[first_row + r] + offset;
      tile.num_rows = static_cast<int>(end - begin);
      SetPrefetch(t, num_tiles, &tile);
      tile.sums = sums + begin * kPanelColumns;
      kernel_(tile);
      begin = end;
    }
  }

  // Of several tiles, each asks for its part of the lines that follow these, so that memory is read
  // while cached lines are computed with. One tile: the same lines, some way ahead.
  static void SetPrefetch(int64_t t, int64_t num_tiles, GemmTile* tile) {
    if (num_tiles == 1) {
      tile->prefetch = tile->weights + kPrefetchBytes;
      tile->prefetch_stride = kLineBytes;
      return;
    }
    tile->prefetch_stride = Pieces(kLineBytes, num_tiles);
    tile->prefetch = tile->weights + tile->num_units * (kLineBytes + t * tile->prefetch_stride);
  }

  void (*const kernel_)(const GemmTile& tile);
  const int64_t max_rows_;
  const GemmProblem& problem_;
};

// Panels per task: enough bytes to read in one go, yet tasks for all.
int64_t PanelsPerTask(const PackedPanels& weights, int64_t num_threads) {
  const int64_t by_bytes = kBytesPerTask / weights.panel_bytes();
  const int64_t by_tasks = weights.num_panels() / (kTasksPerThread * num_threads);
  return std::max<int64_t>(1, std::min(by_bytes, by_tasks));
}

// Rows per task: all, up to what a thread keeps; fewer where there are too few panels to share out.
int64_t RowsPerTask(int64_t num_rows, int64_t num_panels, int64_t tile_rows, int64_t num_threads) {
  const int64_t wanted = Pieces(kTasksPerThread * num_threads, num_panels);
  const int64_t tiles = Pieces(num_rows, tile_rows);
  const int64_t rows = Pieces(tiles, std::min(tiles, wanted)) * tile_rows;
  // Even pieces: a small rest would read all weights for a few rows.
  return std::min(rows, Pieces(num_rows, Pieces(num_rows, kMaxRowsAtOnce)));
}

std::vector<Task> CutIntoTasks(const Context& context, const std::vector<GemmProblem>& problems) {
  const int64_t num_threads = context.pool.num_threads();
  int64_t all_panels = 0;
  for (const GemmProblem& problem : problems) all_panels += problem.weights->num_panels();
  std::vector<Task> tasks;
  for (size_t i = 0; i < problems.size(); ++i) {
    const GemmProblem& problem = problems[i];
    if (problem.num_rows == 0) continue;
    const int64_t num_panels = problem.weights->num_panels();
    const int64_t panels = PanelsPerTask(*problem.weights, num_threads);
    const int64_t rows =
        RowsPerTask(problem.num_rows, all_panels, context.kernels.max_tile_rows, num_threads);
    for (int64_t p = 0; p < num_panels; p += panels) {
      for (int64_t r = 0; r < problem.num_rows; r += rows) {
        tasks.push_back(
            {i, r, std::min(rows, problem.num_rows - r), p, std::min(panels, num_panels - p)});
      }
    }
  }
  return tasks;
}

}  // namespace

void RunGemm(Context& context, const std::vector<GemmProblem>& problems,
             absl::FunctionRef<void(const GemmBlock& block)> epilogue) {
  const std::vector<Task> tasks = CutIntoTasks(context, problems);
  constexpr int64_t kSums = kMaxRowsAtOnce * kPanelColumns;
  auto* all_sums = reinterpret_cast<float*>(
      context.thread_floats.Reserve(GemmScratchBytes(context.pool.num_threads())));
  const auto run = [&](int64_t begin, int64_t end, int thread) {
    float* sums = all_sums + thread * kSums;
    for (int64_t t = begin; t < end; ++t) {
      const Task& task = tasks[static_cast<size_t>(t)];
      const Multiplication multiplication(context, problems[task.problem]);
      for (int64_t p = task.first_panel; p < task.first_panel + task.num_panels; ++p) {
        multiplication.Run(task.first_row, task.num_rows, p, sums);
        epilogue({task.problem, task.first_row, task.num_rows, p, sums});
      }
    }
  };
  context.pool.ParallelFor(static_cast<int64_t>(tasks.size()), 1, run);
}

}  // namespace tramontane::cpu
