// Metrics without labels of their own, and what several processes register alike.
#ifndef TRAMONTANE_ATTENTION_WORKER_GRPC_METRIC_FAMILIES_H_
#define TRAMONTANE_ATTENTION_WORKER_GRPC_METRIC_FAMILIES_H_

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <string>

namespace tramontane {

// The metrics live as long as the registry.
prometheus::Histogram* AddHistogram(prometheus::Registry& registry, const std::string& name,
                                    const std::string& help,
                                    const prometheus::Histogram::BucketBoundaries& buckets);
prometheus::Gauge* AddGauge(prometheus::Registry& registry, const std::string& name,
                            const std::string& help);
prometheus::Counter* AddCounter(prometheus::Registry& registry, const std::string& name,
                                const std::string& help);

// From a millisecond, a token of a small model, to minutes, a long generation of a large one.
prometheus::Histogram::BucketBoundaries LatencyBuckets();

// What tramontane_build_info and tramontane_model_info say.
struct ProcessIdentity {
  std::string version;
  std::string model_name;
  std::string digest;
  std::string compute_dtype;
  std::string backend;
};
void AddIdentityMetrics(prometheus::Registry& registry, const ProcessIdentity& identity);

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_GRPC_METRIC_FAMILIES_H_
