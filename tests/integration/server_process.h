// Real Tramontane processes for tests and benchmarks: started, awaited, stopped, never leaked.
#ifndef TRAMONTANE_TESTS_INTEGRATION_SERVER_PROCESS_H_
#define TRAMONTANE_TESTS_INTEGRATION_SERVER_PROCESS_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace tramontane {

// A directory under TEST_TMPDIR (or /tmp) that goes with the object.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

struct ProcessOutput {
  int exit_code = -1;  // 128 + signal where a signal ended it
  std::string stdout_text;
  std::string stderr_text;
};

// One child process; its standard output and error go to files. Killed with the object.
class ChildProcess {
 public:
  // `binary` is a name in the directory of the running program; "{directory}" in an argument
  // becomes directory(); `environment` adds "NAME=VALUE" entries to ours; `launcher` is a command
  // that becomes the binary, such as "ip netns exec NAME".
  static absl::StatusOr<std::unique_ptr<ChildProcess>> Start(
      const std::string& binary, const std::vector<std::string>& arguments,
      const std::vector<std::string>& environment = {},
      const std::vector<std::string>& launcher = {});
  ~ChildProcess();

  void Signal(int signal_number) const;
  // DEADLINE_EXCEEDED, with the end of its log, where it still runs after `timeout`.
  absl::StatusOr<ProcessOutput> Wait(absl::Duration timeout);
  bool IsRunning() const;
  pid_t pid() const { return pid_; }
  const std::string& directory() const { return directory_.path(); }
  std::string StderrSoFar() const;

 private:
  ChildProcess() = default;

  TemporaryDirectory directory_;
  pid_t pid_ = -1;
  int pid_fd_ = -1;
};

// A server on free loopback ports. --address_file tells them: the RPC address, then on a line of
// its own that of the metrics.
struct ServerProcess {
  std::unique_ptr<ChildProcess> process;
  std::string address;          // of the RPC listener
  std::string metrics_address;  // HOST:PORT of the Prometheus endpoint
};

struct ServerPlace {
  std::string listen = "127.0.0.1:0";
  std::string network_namespace;  // of `ip netns`; empty: ours
};

// Starts `binary` with `arguments`, on free ports unless `place` says where, and waits until it
// listens. UNAVAILABLE, with the end of its log, where it exits first or is not there within a
// minute.
absl::StatusOr<ServerProcess> StartServer(const std::string& binary,
                                          std::vector<std::string> arguments,
                                          const ServerPlace& place = ServerPlace());

// Runs a program to its end.
absl::StatusOr<ProcessOutput> RunProgram(const std::string& binary,
                                         const std::vector<std::string>& arguments,
                                         const std::vector<std::string>& environment = {},
                                         absl::Duration timeout = absl::Minutes(2));

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_INTEGRATION_SERVER_PROCESS_H_
