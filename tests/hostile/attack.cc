#include "tests/hostile/attack.h"

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/hostile/hostile_connections.h"

namespace tramontane {
namespace {

constexpr size_t kMaxFaultsTold = 10;
constexpr std::chrono::seconds kHangTimeout{50};
// A connection lives for so many calls, then another one is made.
constexpr int64_t kCallsPerConnection = 500;
// Towards a port with methods, one in so many steps is a connection that speaks no gRPC.
constexpr uint64_t kConnectionOneIn = 6;
constexpr size_t kShownBytes = 60;

const char* Name(grpc::StatusCode code) {
  static constexpr const char* kNames[] = {"OK",
                                           "CANCELLED",
                                           "UNKNOWN",
                                           "INVALID_ARGUMENT",
                                           "DEADLINE_EXCEEDED",
                                           "NOT_FOUND",
                                           "ALREADY_EXISTS",
                                           "PERMISSION_DENIED",
                                           "RESOURCE_EXHAUSTED",
                                           "FAILED_PRECONDITION",
                                           "ABORTED",
                                           "OUT_OF_RANGE",
                                           "UNIMPLEMENTED",
                                           "INTERNAL",
                                           "UNAVAILABLE",
                                           "DATA_LOSS",
                                           "UNAUTHENTICATED"};
  const auto index = static_cast<size_t>(code);
  return index < std::size(kNames) ? kNames[index] : "?";
}

// Shared with calls that may end after the attack was given up. Thread-safe.
class Ledger {
 public:
  // Waits for a place among the calls; false where none becomes free.
  bool AwaitPlace(int max_calls) {
    std::unique_lock<std::mutex> lock(mutex_);
    return ended_.wait_for(lock, kHangTimeout, [&]() { return running_ < max_calls; });
  }
  void Begin(size_t num_messages) {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++running_;
    ++report_.num_calls;
    report_.num_messages += static_cast<int64_t>(num_messages);
  }
  void End(const CallScript& script, const grpc::Status& status) {
    const std::lock_guard<std::mutex> lock(mutex_);
    --running_;
    ++report_.endings[Name(status.error_code())];
    if (!MayEnd(script, status)) FaultLocked(Describe(script, status));
    ended_.notify_all();
  }
  void Connected() {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++report_.num_connections;
    ++report_.num_messages;
  }
  void Fault(const std::string& fault) {
    const std::lock_guard<std::mutex> lock(mutex_);
    FaultLocked(fault);
  }
  AttackReport report() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return report_;
  }

 private:
  static std::string Describe(const CallScript& script, const grpc::Status& status) {
    const std::string last = script.messages.empty() ? "" : script.messages.back();
    return absl::StrCat(
        script.path.substr(0, kShownBytes), " with ", script.messages.size(),
        " messages ended with ", Name(status.error_code()), ": ", status.error_message(), "; ",
        script.must_be_invalid ? "expected INVALID_ARGUMENT; " : "", "the last message has ",
        last.size(), " bytes: \"", absl::CHexEscape(last.substr(0, kShownBytes)), "\"");
  }
  void FaultLocked(const std::string& fault) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    ++report_.num_faults;
    if (report_.faults.size() < kMaxFaultsTold) report_.faults.push_back(fault);
  }

  mutable std::mutex mutex_;
  std::condition_variable ended_;
  int running_ ABSL_GUARDED_BY(mutex_) = 0;
  AttackReport report_ ABSL_GUARDED_BY(mutex_);
};

std::shared_ptr<grpc::Channel> Connect(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

}  // namespace

AttackReport Attack(const AttackOptions& options) {
  const absl::Time begin = absl::Now();
  const auto ledger = std::make_shared<Ledger>();
  Random random(options.seed);
  HostileConnections connections(options.address);
  std::shared_ptr<grpc::Channel> channel;
  for (int64_t step = 0; ledger->report().num_messages < options.num_messages; ++step) {
    if (options.methods.empty() || random() % kConnectionOneIn == 0) {
      const absl::Status said =
          connections.Say(options.methods.empty() ? DrawHttp1(random) : DrawHttp2(random));
      ledger->Connected();
      if (said.ok()) continue;
      ledger->Fault(said.ToString());
      break;
    }
    if (!ledger->AwaitPlace(options.max_calls)) break;
    if (step % kCallsPerConnection == 0 || channel == nullptr) {
      // Not gRPC's threads may be the last to let a channel go.
      if (!ledger->AwaitPlace(1)) break;
      channel = Connect(options.address);
    }
    const CallScript script = DrawCall(options.methods, random);
    ledger->Begin(script.messages.size());
    StartCall(channel, script,
              [ledger, script](const grpc::Status& status) { ledger->End(script, status); });
  }
  if (!ledger->AwaitPlace(1)) ledger->Fault("calls have not ended long after their deadlines");
  AttackReport report = ledger->report();
  report.duration = absl::Now() - begin;
  return report;
}

}  // namespace tramontane
