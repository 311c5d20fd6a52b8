// What the process itself uses, under the names that Prometheus' client libraries share:
// https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics
#ifndef TRAMONTANE_PROTO_SERVING_PROCESS_METRICS_H_
#define TRAMONTANE_PROTO_SERVING_PROCESS_METRICS_H_

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <vector>

namespace tramontane {

// process_* metrics of this process, read from /proc when they are asked for; where /proc does not
// have one, it is left out. Thread-safe.
class ProcessMetrics final : public prometheus::Collectable {
 public:
  std::vector<prometheus::MetricFamily> Collect() const override;
};

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_SERVING_PROCESS_METRICS_H_
