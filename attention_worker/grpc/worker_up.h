// A gauge for each worker that is known: whether it is connected.
#ifndef TRAMONTANE_ATTENTION_WORKER_GRPC_WORKER_UP_H_
#define TRAMONTANE_ATTENTION_WORKER_GRPC_WORKER_UP_H_

#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>

#include <map>
#include <mutex>
#include <string>

#include "absl/base/thread_annotations.h"

namespace tramontane {

// Thread-safe.
class WorkerUp {
 public:
  // The gauge `name` with the label "worker"; the registry outlives it.
  WorkerUp(prometheus::Registry& registry, const std::string& name, const std::string& help)
      : family_(&prometheus::BuildGauge().Name(name).Help(help).Register(registry)) {}

  void Set(const std::string& worker, bool up) {
    const std::lock_guard<std::mutex> lock(mutex_);
    prometheus::Gauge*& gauge = gauges_[worker];
    if (gauge == nullptr) gauge = &family_->Add({{"worker", worker}});
    gauge->Set(up ? 1 : 0);
  }

  void Remove(const std::string& worker) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = gauges_.find(worker);
    if (found == gauges_.end()) return;
    family_->Remove(found->second);
    gauges_.erase(found);
  }

 private:
  prometheus::Family<prometheus::Gauge>* const family_;
  std::mutex mutex_;
  std::map<std::string, prometheus::Gauge*> gauges_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_GRPC_WORKER_UP_H_
