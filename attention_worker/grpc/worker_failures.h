// A counter for each worker that is known, and each status that it failed with.
#ifndef TRAMONTANE_ATTENTION_WORKER_GRPC_WORKER_FAILURES_H_
#define TRAMONTANE_ATTENTION_WORKER_GRPC_WORKER_FAILURES_H_

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/registry.h>

#include <map>
#include <mutex>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"

namespace tramontane {

// Thread-safe.
class WorkerFailures {
 public:
  // The counter `name` with the labels "worker" and "status"; the registry outlives it.
  WorkerFailures(prometheus::Registry& registry, const std::string& name, const std::string& help)
      : family_(&prometheus::BuildCounter().Name(name).Help(help).Register(registry)) {}

  void Count(const std::string& worker, absl::StatusCode code) {
    const std::lock_guard<std::mutex> lock(mutex_);
    prometheus::Counter*& counter = counters_[worker][code];
    if (counter == nullptr) {
      counter = &family_->Add({{"worker", worker}, {"status", absl::StatusCodeToString(code)}});
    }
    counter->Increment();
  }

  void Remove(const std::string& worker) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = counters_.find(worker);
    if (found == counters_.end()) return;
    for (const auto& [code, counter] : found->second) family_->Remove(counter);
    counters_.erase(found);
  }

 private:
  prometheus::Family<prometheus::Counter>* const family_;
  std::mutex mutex_;
  std::map<std::string, std::map<absl::StatusCode, prometheus::Counter*>> counters_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_GRPC_WORKER_FAILURES_H_
