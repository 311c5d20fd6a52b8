#include "attention_worker/grpc/metric_families.h"

namespace tramontane {

prometheus::Histogram* AddHistogram(prometheus::Registry& registry, const std::string& name,
                                    const std::string& help,
                                    const prometheus::Histogram::BucketBoundaries& buckets) {
  return &prometheus::BuildHistogram().Name(name).Help(help).Register(registry).Add({}, buckets);
}

prometheus::Gauge* AddGauge(prometheus::Registry& registry, const std::string& name,
                            const std::string& help) {
  return &prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add({});
}

prometheus::Counter* AddCounter(prometheus::Registry& registry, const std::string& name,
                                const std::string& help) {
  return &prometheus::BuildCounter().Name(name).Help(help).Register(registry).Add({});
}

prometheus::Histogram::BucketBoundaries LatencyBuckets() {
  return {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250};
}

void AddIdentityMetrics(prometheus::Registry& registry, const ProcessIdentity& identity) {
  prometheus::BuildGauge()
      .Name("tramontane_build_info")
      .Help("1; the labels tell the version.")
      .Register(registry)
      .Add({{"version", identity.version}})
      .Set(1);
  prometheus::BuildGauge()
      .Name("tramontane_model_info")
      .Help("1; the labels tell what is served.")
      .Register(registry)
      .Add({{"name", identity.model_name},
            {"digest", identity.digest},
            {"compute", identity.compute_dtype},
            {"backend", identity.backend}})
      .Set(1);
}

}  // namespace tramontane
