// Who may call the API, and how often: tokens, and the state of their limits.
#ifndef TRAMONTANE_COORDINATOR_GRPC_API_ACCESS_H_
#define TRAMONTANE_COORDINATOR_GRPC_API_ACCESS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "coordinator/grpc/api_tokens.h"
#include "proto/serving/security_metrics.h"

namespace tramontane {

// The place of a call among its token's concurrent ones, free again when the last copy goes. It may
// outlive the ApiAccess that gave it.
class ApiPermit {
 public:
  ApiPermit() = default;
  explicit ApiPermit(std::shared_ptr<void> place) : place_(std::move(place)) {}
  void Release() { place_.reset(); }

 private:
  std::shared_ptr<void> place_;
};

// Why a call was not let in.
struct ApiRefusal {
  absl::Status status;  // UNAUTHENTICATED or RESOURCE_EXHAUSTED
  AuthFailure reason = AuthFailure::kNoToken;
  absl::Duration retry_after;  // with RESOURCE_EXHAUSTED
};

// Thread-safe.
class ApiAccess {
 public:
  // Fails as ReadTextFile and ParseApiTokens.
  static absl::StatusOr<std::shared_ptr<ApiAccess>> Load(const std::string& path);

  // Whether a call with the header `authorization` ("" without one) may go on; `refusal` says why
  // not. `now` is SteadyNow: a clock that is set back would use the token's requests up. It takes
  // one of the token's requests of a minute and, unless `permit` is null, a place among its
  // concurrent ones.
  bool Admit(std::string_view authorization, absl::Time now, ApiPermit* permit,
             ApiRefusal* refusal);

  // Reads the file again. Limits of names that stay go on from where they are; calls that were let
  // in go on. Keeps what there is where the file is not sound, and says why; in a warning too, once
  // for each fault.
  absl::Status Refresh();

 private:
  // Of a name that has called.
  struct Usage {
    double available = 0;  // requests that may come at once; a token bucket
    absl::Time counted = absl::InfinitePast();
    int64_t running = 0;
  };
  struct State {
    std::mutex mutex;
    std::vector<ApiToken> tokens ABSL_GUARDED_BY(mutex);
    std::map<std::string, Usage> usage ABSL_GUARDED_BY(mutex);
  };

  ApiAccess(std::string path, std::string text, std::vector<ApiToken> tokens);
  static bool HasPlace(const ApiToken& token, const Usage& usage, ApiRefusal* refusal);
  static bool TakeOne(const ApiToken& token, absl::Time now, Usage* usage, ApiRefusal* refusal);

  const std::string path_;
  const std::shared_ptr<State> state_;
  std::mutex refresh_mutex_;
  std::string text_ ABSL_GUARDED_BY(refresh_mutex_);   // of the file that is in use
  std::string fault_ ABSL_GUARDED_BY(refresh_mutex_);  // said last
};

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_GRPC_API_ACCESS_H_
