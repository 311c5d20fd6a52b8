// CUDA graphs of the lists of launches that come again and again, as those of decode steps do.
#ifndef TRAMONTANE_KERNELS_CUDA_GRAPHS_H_
#define TRAMONTANE_KERNELS_CUDA_GRAPHS_H_

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "kernels/cuda/launch_list.h"

namespace tramontane::cuda {

// A list belongs to a graph of the same shape where at most a third of its calls differ: a decode's
// next step differs in few, other layers and other batches in most. Calls that do are set anew in
// the graph. What comes for the first time has no graph, so that prefill, which seldom comes again,
// makes none. Used by one thread at a time.
class Graphs {
 public:
  // At most `max_graphs` are kept. One makes place for another only where many lists have come
  // since it was launched: more lists in turn than there may be graphs leave those that there are.
  // With `early_starts` kernels behind kernels start early.
  Graphs(int max_graphs, bool early_starts)
      : early_starts_(early_starts), max_graphs_(static_cast<size_t>(max_graphs)) {}
  ~Graphs();
  Graphs(const Graphs&) = delete;
  Graphs& operator=(const Graphs&) = delete;

  // Launches a graph of the list's calls on `stream`, and returns the error of that. Absent: has
  // none for it, or could not make it; nothing was launched, and the list is as it was.
  std::optional<cudaError_t> Launch(LaunchList& list, cudaStream_t stream);

 private:
  struct Graph {
    LaunchList list;  // as the nodes are set
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t exec = nullptr;
    std::vector<cudaGraphNode_t> nodes;  // a chain in the order of the list
    int64_t last_launched = 0;
  };

  std::optional<size_t> FindOrMake(LaunchList& list);
  // Where a new graph may go.
  std::optional<size_t> FindPlace();
  bool Make(LaunchList& list, Graph& graph) const;
  static bool Update(LaunchList& list, Graph& graph);
  static void Destroy(Graph& graph);
  void Remove(size_t index);
  void Remember(const LaunchList& list);

  const bool early_starts_;
  size_t max_graphs_;
  std::vector<Graph> graphs_;
  size_t last_ = 0;               // the graph that was launched last
  std::vector<LaunchList> seen_;  // lists without a graph that came last
  size_t next_seen_ = 0;          // the place of the next one
  int64_t num_lists_ = 0;         // that have come
};

}  // namespace tramontane::cuda

#endif  // TRAMONTANE_KERNELS_CUDA_GRAPHS_H_
