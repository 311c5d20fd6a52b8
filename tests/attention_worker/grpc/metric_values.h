// What a registry holds, for tests.
#ifndef TRAMONTANE_TESTS_ATTENTION_WORKER_GRPC_METRIC_VALUES_H_
#define TRAMONTANE_TESTS_ATTENTION_WORKER_GRPC_METRIC_VALUES_H_

#include <prometheus/registry.h>

#include <map>
#include <set>
#include <string>

namespace tramontane {

// Name to label names, of every family in the registry.
std::map<std::string, std::set<std::string>> MetricFamilies(prometheus::Registry& registry);

// Of a counter or a gauge, or a histogram's count; a failure of the test where there is none.
double MetricValue(prometheus::Registry& registry, const std::string& name,
                   const std::map<std::string, std::string>& labels);

// Of a histogram: the sum of what was observed.
double MetricSum(prometheus::Registry& registry, const std::string& name,
                 const std::map<std::string, std::string>& labels);

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_ATTENTION_WORKER_GRPC_METRIC_VALUES_H_
