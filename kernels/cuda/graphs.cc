#include "kernels/cuda/graphs.h"

#include <algorithm>
#include <utility>

namespace tramontane::cuda {
namespace {

// Fewer launches than that cost no more than one of a graph.
constexpr size_t kMinCalls = 4;
// A graph that was not launched for so many lists, times the number of graphs, is no longer of use.
constexpr int64_t kUselessAfter = 4;
// So many lists without a graph are remembered, times the number of graphs.
constexpr size_t kSeenLists = 2;

// Of `count` lists that `list_of` gives, the one that differs from `list` in the fewest calls, and
// in no more than a third. The search starts at `first` and ends at one that is the same.
template <typename ListOf>
std::optional<size_t> FindClosest(const LaunchList& list, size_t count, size_t first,
                                  const ListOf& list_of) {
  std::optional<size_t> closest;
  size_t fewest = list.size() / 3 + 1;
  for (size_t i = 0; i < count && fewest > 0; ++i) {
    const size_t index = (first + i) % count;
    const LaunchList& other = list_of(index);
    if (!list.HasShapeOf(other)) continue;
    const size_t differences = list.CountDifferences(other, fewest);
    if (differences >= fewest) continue;
    fewest = differences;
    closest = index;
  }
  return closest;
}

}  // namespace

Graphs::~Graphs() {
  for (Graph& graph : graphs_) Destroy(graph);
}

std::optional<cudaError_t> Graphs::Launch(LaunchList& list, cudaStream_t stream) {
  if (list.size() < kMinCalls || max_graphs_ == 0) return std::nullopt;
  ++num_lists_;
  const std::optional<size_t> found = FindOrMake(list);
  if (!found.has_value()) return std::nullopt;
  Graph& graph = graphs_[*found];
  std::swap(graph.list, list);
  graph.last_launched = num_lists_;
  last_ = *found;
  return cudaGraphLaunch(graph.exec, stream);
}

std::optional<size_t> Graphs::FindOrMake(LaunchList& list) {
  // Lists follow each other as they did in the step before: the graph behind the last is likely.
  const std::optional<size_t> found =
      FindClosest(list, graphs_.size(), last_ + 1,
                  [&](size_t i) -> const LaunchList& { return graphs_[i].list; });
  if (found.has_value()) {
    if (Update(list, graphs_[*found])) return found;
    Remove(*found);
    return std::nullopt;
  }
  const std::optional<size_t> seen =
      FindClosest(list, seen_.size(), 0, [&](size_t i) -> const LaunchList& { return seen_[i]; });
  if (!seen.has_value()) {
    Remember(list);
    return std::nullopt;
  }
  const std::optional<size_t> place = FindPlace();
  if (!place.has_value()) return std::nullopt;
  if (!Make(list, graphs_[*place])) {
    // There is no memory for more, most likely.
    Remove(*place);
    max_graphs_ = graphs_.size();
    return std::nullopt;
  }
  seen_[*seen].Clear();
  return place;
}

std::optional<size_t> Graphs::FindPlace() {
  if (graphs_.size() < max_graphs_) {
    graphs_.emplace_back();
    return graphs_.size() - 1;
  }
  const auto oldest = std::min_element(
      graphs_.begin(), graphs_.end(),
      [](const Graph& a, const Graph& b) { return a.last_launched < b.last_launched; });
  const int64_t useless_after = kUselessAfter * static_cast<int64_t>(max_graphs_);
  if (num_lists_ - oldest->last_launched < useless_after) return std::nullopt;
  Destroy(*oldest);
  return static_cast<size_t>(oldest - graphs_.begin());
}

bool Graphs::Make(LaunchList& list, Graph& graph) const {
  cudaError_t error = cudaGraphCreate(&graph.graph, 0);
  for (size_t i = 0; i < list.size() && error == cudaSuccess; ++i) {
    cudaGraphNode_t node = nullptr;
    error =
        list.AddNode(i, graph.graph, i == 0 ? nullptr : graph.nodes.back(), early_starts_, &node);
    graph.nodes.push_back(node);
  }
  if (error == cudaSuccess) error = cudaGraphInstantiate(&graph.exec, graph.graph, 0);
  if (error != cudaSuccess) (void)cudaGetLastError();
  return error == cudaSuccess;
}

bool Graphs::Update(LaunchList& list, Graph& graph) {
  for (size_t i = 0; i < list.size(); ++i) {
    if (list.HasCallOf(graph.list, i)) continue;
    if (list.SetNode(i, graph.exec, graph.nodes[i]) == cudaSuccess) continue;
    (void)cudaGetLastError();
    return false;
  }
  return true;
}

// One that still runs is freed once it has run.
void Graphs::Destroy(Graph& graph) {
  if (graph.exec != nullptr) (void)cudaGraphExecDestroy(graph.exec);
  if (graph.graph != nullptr) (void)cudaGraphDestroy(graph.graph);
  graph = Graph();
}

void Graphs::Remove(size_t index) {
  Destroy(graphs_[index]);
  graphs_.erase(graphs_.begin() + static_cast<std::ptrdiff_t>(index));
}

void Graphs::Remember(const LaunchList& list) {
  if (seen_.size() < kSeenLists * max_graphs_) {
    seen_.push_back(list);
    return;
  }
  next_seen_ = (next_seen_ + 1) % seen_.size();
  seen_[next_seen_] = list;
}

}  // namespace tramontane::cuda
