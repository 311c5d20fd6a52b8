#include "tests/attention_worker/grpc/metric_values.h"

#include <gtest/gtest.h>

#include <utility>

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

namespace {

// The metric and its kind; a failure of the test, and zeros, where there is none.
std::pair<prometheus::MetricType, prometheus::ClientMetric> Find(
    prometheus::Registry& registry, const std::string& name,
    const std::map<std::string, std::string>& labels) {
  for (const prometheus::MetricFamily& family : registry.Collect()) {
    if (family.name != name) continue;
    for (const prometheus::ClientMetric& metric : family.metric) {
      std::map<std::string, std::string> found;
      for (const auto& label : metric.label) found[label.name] = label.value;
      if (found == labels) return {family.type, metric};
    }
  }
  ADD_FAILURE() << "no " << name;
  return {};
}

}  // namespace

double MetricValue(prometheus::Registry& registry, const std::string& name,
                   const std::map<std::string, std::string>& labels) {
  const auto [type, metric] = Find(registry, name, labels);
  return type == prometheus::MetricType::Counter ? metric.counter.value
         : type == prometheus::MetricType::Gauge
             ? metric.gauge.value
             : static_cast<double>(metric.histogram.sample_count);
}

double MetricSum(prometheus::Registry& registry, const std::string& name,
                 const std::map<std::string, std::string>& labels) {
  return Find(registry, name, labels).second.histogram.sample_sum;
}

}  // namespace tramontane
