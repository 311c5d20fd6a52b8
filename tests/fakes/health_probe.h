// A probe of grpc.health.v1, as Kubernetes makes it.
#ifndef TRAMONTANE_TESTS_FAKES_HEALTH_PROBE_H_
#define TRAMONTANE_TESTS_FAKES_HEALTH_PROBE_H_

#include <string>

namespace tramontane {

enum class HealthState { kUnreachable, kUnknown, kNotServing, kServing };

// Of `service` at `address` ("HOST:PORT", plaintext), within 20 s. kUnknown: the server knows no
// such service.
HealthState ProbeHealth(const std::string& address, const std::string& service);

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_FAKES_HEALTH_PROBE_H_
