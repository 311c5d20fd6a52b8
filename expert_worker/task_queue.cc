#include "expert_worker/task_queue.h"

#include <algorithm>
#include <utility>

#include "model/check.h"

namespace tramontane {
namespace {

int64_t NumPairs(const ExpertTask& task) { return static_cast<int64_t>(task.row_indices.size()); }

}  // namespace

TaskQueue::TaskQueue(int num_layers, int max_tasks, int max_merged_rows)
    : max_tasks_(max_tasks),
      max_merged_rows_(max_merged_rows),
      layers_(static_cast<size_t>(num_layers)) {
  TRAMONTANE_CHECK(max_tasks > 0 && max_merged_rows > 0);
}

std::optional<QueuedTask> TaskQueue::Push(QueuedTask queued) {
  std::optional<QueuedTask> refused;
  if (size_ == max_tasks_) {
    const auto most = std::max_element(
        tasks_of_stream_.begin(), tasks_of_stream_.end(),
        [](const auto& left, const auto& right) { return left.second < right.second; });
    const auto own = tasks_of_stream_.find(queued.task.stream);
    const int num_own = own == tasks_of_stream_.end() ? 0 : own->second;
    // Else the two would only change places.
    if (num_own + 1 >= most->second) return queued;
    refused = TakeNewestOf(most->first);
  }
  CountIn(queued.task);
  Layer& layer = layers_[static_cast<size_t>(queued.task.layer)];
  layer.tasks.push_back({next_arrival_++, std::move(queued)});
  return refused;
}

void TaskQueue::TakeMerge(std::vector<QueuedTask>* merge) {
  Layer& layer = layers_[static_cast<size_t>(&OldestLayer() - layers_.data())];
  int64_t num_pairs = 0;
  do {
    QueuedTask& oldest = layer.tasks.front().queued;
    num_pairs += NumPairs(oldest.task);
    CountOut(oldest.task);
    merge->push_back(std::move(oldest));
    layer.tasks.pop_front();
  } while (!layer.tasks.empty() &&
           num_pairs + NumPairs(layer.tasks.front().queued.task) <= max_merged_rows_);
}

void TaskQueue::TakeCancelled(std::vector<QueuedTask>* cancelled) {
  const auto take = [this, cancelled](Waiting& waiting) {
    const ExpertTask& task = waiting.queued.task;
    if (task.cancelled == nullptr || !task.cancelled->load(std::memory_order_relaxed)) return false;
    CountOut(task);
    cancelled->push_back(std::move(waiting.queued));
    return true;
  };
  for (Layer& layer : layers_) {
    layer.tasks.erase(std::remove_if(layer.tasks.begin(), layer.tasks.end(), take),
                      layer.tasks.end());
  }
}

absl::Time TaskQueue::oldest_received() const {
  return OldestLayer().tasks.front().queued.received;
}

bool TaskQueue::HasFullMerge() const { return OldestLayer().num_pairs >= max_merged_rows_; }

const TaskQueue::Layer& TaskQueue::OldestLayer() const {
  const Layer* oldest = nullptr;
  for (const Layer& layer : layers_) {
    if (layer.tasks.empty()) continue;
    if (oldest == nullptr || layer.tasks.front().arrival < oldest->tasks.front().arrival) {
      oldest = &layer;
    }
  }
  TRAMONTANE_CHECK(oldest != nullptr);
  return *oldest;
}

QueuedTask TaskQueue::TakeNewestOf(uint64_t stream) {
  Layer* layer_of_newest = nullptr;
  std::deque<Waiting>::iterator newest;
  for (Layer& layer : layers_) {
    const auto last = std::find_if(
        layer.tasks.rbegin(), layer.tasks.rend(),
        [stream](const Waiting& waiting) { return waiting.queued.task.stream == stream; });
    if (last == layer.tasks.rend()) continue;
    if (layer_of_newest == nullptr || last->arrival > newest->arrival) {
      layer_of_newest = &layer;
      newest = std::prev(last.base());
    }
  }
  TRAMONTANE_CHECK(layer_of_newest != nullptr);
  QueuedTask taken = std::move(newest->queued);
  layer_of_newest->tasks.erase(newest);
  CountOut(taken.task);
  return taken;
}

void TaskQueue::CountIn(const ExpertTask& task) {
  ++size_;
  layers_[static_cast<size_t>(task.layer)].num_pairs += NumPairs(task);
  ++tasks_of_stream_[task.stream];
}

void TaskQueue::CountOut(const ExpertTask& task) {
  --size_;
  layers_[static_cast<size_t>(task.layer)].num_pairs -= NumPairs(task);
  const auto stream = tasks_of_stream_.find(task.stream);
  if (--stream->second == 0) tasks_of_stream_.erase(stream);
}

}  // namespace tramontane
