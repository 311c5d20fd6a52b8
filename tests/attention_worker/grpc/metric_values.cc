#include "tests/attention_worker/grpc/metric_values.h"

#include <gtest/gtest.h>

namespace tramontane {

std::map<std::string, std::set<std::string>> MetricFamilies(prometheus::Registry& registry) {
  std::map<std::string, std::set<std::string>> families;
  for (const prometheus::MetricFamily& family : registry.Collect()) {
    std::set<std::string>& labels = families[family.name];
    for (const prometheus::ClientMetric& metric : family.metric) {
      for (const auto& label : metric.label) labels.insert(label.name);
    }
  }
  return families;
}

double MetricValue(prometheus::Registry& registry, const std::string& name,
                   const std::map<std::string, std::string>& labels) {
  for (const prometheus::MetricFamily& family : registry.Collect()) {
    if (family.name != name) continue;
    for (const prometheus::ClientMetric& metric : family.metric) {
      std::map<std::string, std::string> found;
      for (const auto& label : metric.label) found[label.name] = label.value;
      if (found != labels) continue;
      return family.type == prometheus::MetricType::Counter ? metric.counter.value
             : family.type == prometheus::MetricType::Gauge
                 ? metric.gauge.value
                 : static_cast<double>(metric.histogram.sample_count);
    }
  }
  ADD_FAILURE() << "no " << name;
  return -1;
}

}  // namespace tramontane
