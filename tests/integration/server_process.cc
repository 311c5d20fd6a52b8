#include "tests/integration/server_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "model/check.h"

extern char** environ;

namespace tramontane {
namespace {

constexpr absl::Duration kStartTimeout = absl::Minutes(1);
constexpr size_t kLogTail = 4000;

std::string ReadText(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// Where this program is: so is what it starts, and a build's bin directory may be copied as a
// whole.
std::string OwnDirectory() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path().string();
}

std::string Tail(const std::string& text) {
  return text.size() <= kLogTail ? text : text.substr(text.size() - kLogTail);
}

int PollTimeout(absl::Time deadline) {
  const int64_t left = absl::ToInt64Milliseconds(deadline - absl::Now());
  return left < 0 ? 0 : static_cast<int>(left);
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

// The text of `path` once it exists; waits on the directory's events and on the process's end.
absl::StatusOr<std::string> AwaitFile(const std::string& path, const ChildProcess& process) {
  const int watch = inotify_init1(IN_CLOEXEC);
  TRAMONTANE_CHECK(watch >= 0);
  TRAMONTANE_CHECK(inotify_add_watch(watch, process.directory().c_str(), IN_MOVED_TO) >= 0);
  const int pid_fd = static_cast<int>(syscall(SYS_pidfd_open, process.pid(), 0));
  const absl::Time deadline = absl::Now() + kStartTimeout;
  absl::StatusOr<std::string> result = absl::UnavailableError("");
  while (true) {
    if (std::filesystem::exists(path)) {
      result = std::string(absl::StripAsciiWhitespace(ReadText(path)));
      break;
    }
    pollfd events[] = {{watch, POLLIN, 0}, {pid_fd, POLLIN, 0}};
    const int ready = poll(events, 2, PollTimeout(deadline));
    if (ready == 0 || (events[1].revents & POLLIN) != 0) {
      result = absl::UnavailableError(
          absl::StrCat(ready == 0 ? "not listening in time" : "it exited before it listened",
                       "; its log ends:\n", Tail(process.StderrSoFar())));
      break;
    }
    char buffer[4096];
    if ((events[0].revents & POLLIN) != 0 && read(watch, buffer, sizeof(buffer)) < 0) break;
  }
  close(watch);
  close(pid_fd);
  return result;
}

}  // namespace

TemporaryDirectory::TemporaryDirectory() {
  const char* root = std::getenv("TEST_TMPDIR");
  path_ = absl::StrCat(root == nullptr ? "/tmp" : root, "/tramontane-XXXXXX");
  TRAMONTANE_CHECK(mkdtemp(path_.data()) != nullptr);
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

absl::StatusOr<std::unique_ptr<ChildProcess>> ChildProcess::Start(
    const std::string& binary, const std::vector<std::string>& arguments,
    const std::vector<std::string>& environment, const std::vector<std::string>& launcher) {
  std::unique_ptr<ChildProcess> child(new ChildProcess());
  std::vector<std::string> argv = launcher;
  argv.push_back(absl::StrCat(OwnDirectory(), "/", binary));
  for (const std::string& argument : arguments) {
    argv.push_back(absl::StrReplaceAll(argument, {{"{directory}", child->directory()}}));
  }
  std::vector<std::string> env = environment;
  for (char** entry = environ; *entry != nullptr; ++entry) env.emplace_back(*entry);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  const int flags = O_WRONLY | O_CREAT | O_TRUNC;
  posix_spawn_file_actions_addopen(
      &actions, STDOUT_FILENO, absl::StrCat(child->directory(), "/stdout").c_str(), flags, 0600);
  posix_spawn_file_actions_addopen(
      &actions, STDERR_FILENO, absl::StrCat(child->directory(), "/stderr").c_str(), flags, 0600);
  const int error = posix_spawnp(&child->pid_, argv[0].c_str(), &actions, nullptr,
                                 Pointers(argv).data(), Pointers(env).data());
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    child->pid_ = -1;
    return absl::NotFoundError(absl::StrCat("cannot start ", argv[0], ": ", strerror(error)));
  }
  child->pid_fd_ = static_cast<int>(syscall(SYS_pidfd_open, child->pid_, 0));
  TRAMONTANE_CHECK(child->pid_fd_ >= 0);
  return child;
}

ChildProcess::~ChildProcess() {
  if (IsRunning()) {
    Signal(SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  if (pid_fd_ >= 0) close(pid_fd_);
}

void ChildProcess::Signal(int signal_number) const {
  if (IsRunning()) kill(pid_, signal_number);
}

bool ChildProcess::IsRunning() const { return pid_ > 0; }

std::string ChildProcess::StderrSoFar() const {
  return ReadText(absl::StrCat(directory(), "/stderr"));
}

absl::StatusOr<ProcessOutput> ChildProcess::Wait(absl::Duration timeout) {
  TRAMONTANE_CHECK(IsRunning());
  pollfd event = {pid_fd_, POLLIN, 0};
  const absl::Time deadline = absl::Now() + timeout;
  int ready;
  do {
    ready = poll(&event, 1, PollTimeout(deadline));
  } while (ready < 0 && errno == EINTR);
  if (ready == 0) {
    return absl::DeadlineExceededError(absl::StrCat("process still runs after ",
                                                    absl::FormatDuration(timeout),
                                                    "; its log ends:\n", Tail(StderrSoFar())));
  }
  int status = 0;
  TRAMONTANE_CHECK(waitpid(pid_, &status, 0) == pid_);
  pid_ = -1;
  ProcessOutput output;
  output.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  output.stdout_text = ReadText(absl::StrCat(directory(), "/stdout"));
  output.stderr_text = StderrSoFar();
  return output;
}

absl::StatusOr<ServerProcess> StartServer(const std::string& binary,
                                          std::vector<std::string> arguments,
                                          const ServerPlace& place) {
  arguments.push_back(absl::StrCat("--listen=", place.listen));
  arguments.push_back("--metrics_listen=127.0.0.1:0");
  arguments.push_back("--address_file={directory}/address");
  std::vector<std::string> launcher;
  if (!place.network_namespace.empty()) {
    launcher = {"ip", "netns", "exec", place.network_namespace};
  }
  absl::StatusOr<std::unique_ptr<ChildProcess>> child =
      ChildProcess::Start(binary, arguments, {}, launcher);
  if (!child.ok()) return child.status();
  absl::StatusOr<std::string> text =
      AwaitFile(absl::StrCat((*child)->directory(), "/address"), **child);
  if (!text.ok())
    return absl::UnavailableError(absl::StrCat(binary, ": ", text.status().message()));
  const std::vector<std::string> lines = absl::StrSplit(*text, '\n');
  ServerProcess server;
  server.process = *std::move(child);
  server.address = lines[0];
  if (lines.size() > 1) server.metrics_address = lines[1];
  return server;
}

absl::StatusOr<ProcessOutput> RunProgram(const std::string& binary,
                                         const std::vector<std::string>& arguments,
                                         const std::vector<std::string>& environment,
                                         absl::Duration timeout) {
  absl::StatusOr<std::unique_ptr<ChildProcess>> child =
      ChildProcess::Start(binary, arguments, environment);
  if (!child.ok()) return child.status();
  return (*child)->Wait(timeout);
}

}  // namespace tramontane
