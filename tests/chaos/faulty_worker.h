// An expert worker that answers wrongly on demand: it stands before a real one.
#ifndef TRAMONTANE_TESTS_CHAOS_FAULTY_WORKER_H_
#define TRAMONTANE_TESTS_CHAOS_FAULTY_WORKER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace tramontane {

enum class Fault {
  kNone,       // passes everything on
  kNonFinite,  // rows of NaN
  kShort,      // the last row is missing
  kWrongSum,   // finite rows that are not the answer's: what only a probe can notice
};

// Thread-safe.
class FaultyWorker {
 public:
  // Serves on a free loopback port what the worker at `address` answers.
  static absl::StatusOr<std::unique_ptr<FaultyWorker>> Start(const std::string& address);
  ~FaultyWorker();

  const std::string& address() const { return address_; }
  void set_fault(Fault fault);

 private:
  class Service;
  FaultyWorker();

  std::string address_;
  std::unique_ptr<Service> service_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_CHAOS_FAULTY_WORKER_H_
