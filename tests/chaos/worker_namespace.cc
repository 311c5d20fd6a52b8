#include "tests/chaos/worker_namespace.h"

#include <unistd.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"

namespace tramontane {

WorkerNamespace::WorkerNamespace(int number)
    : name_(absl::StrCat("tramontane-", getpid())),
      outside_(absl::StrCat("10.213.", number, ".1")),
      inside_(absl::StrCat("10.213.", number, ".2")),
      interface_(absl::StrCat("trm", getpid())) {}

absl::StatusOr<std::unique_ptr<WorkerNamespace>> WorkerNamespace::Create() {
  if (geteuid() != 0) {
    return absl::FailedPreconditionError("network namespaces need root: run this scenario as root");
  }
  std::unique_ptr<WorkerNamespace> made(new WorkerNamespace(getpid() % 250));
  absl::Status status = made->Ip(absl::StrCat("netns add ", made->name_));
  const auto then = [&status](absl::Status next) { status.Update(std::move(next)); };
  if (status.ok()) {
    then(made->Ip(absl::StrCat("link add ", made->interface_, " type veth peer name inside netns ",
                               made->name_)));
  }
  if (status.ok()) {
    then(made->Ip(absl::StrCat("addr add ", made->outside_, "/30 dev ", made->interface_)));
    then(made->Ip(absl::StrCat("link set ", made->interface_, " up")));
    then(made->IpInside(absl::StrCat("addr add ", made->inside_, "/30 dev inside")));
    then(made->IpInside("link set inside up"));
    then(made->IpInside("link set lo up"));
  }
  if (!status.ok()) return absl::FailedPreconditionError(status.message());
  return made;
}

WorkerNamespace::~WorkerNamespace() {
  static_cast<void>(Reconnect());
  static_cast<void>(Ip(absl::StrCat("netns del ", name_)));  // and the interfaces with it
}

ServerPlace WorkerNamespace::place() const { return {absl::StrCat(inside_, ":0"), name_}; }

absl::Status WorkerNamespace::Ip(const std::string& arguments) const {
  const std::string command = absl::StrCat("ip ", arguments, " 2>/dev/null");
  if (std::system(command.c_str()) == 0) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("failed: ", command));
}

absl::Status WorkerNamespace::IpInside(const std::string& arguments) const {
  return Ip(absl::StrCat("netns exec ", name_, " ip ", arguments));
}

absl::Status WorkerNamespace::CutOff() {
  absl::Status status = Ip(absl::StrCat("route add blackhole ", inside_, "/32"));
  status.Update(IpInside(absl::StrCat("route add blackhole ", outside_, "/32")));
  return status;
}

absl::Status WorkerNamespace::Reconnect() {
  absl::Status status = Ip(absl::StrCat("route del blackhole ", inside_, "/32"));
  status.Update(IpInside(absl::StrCat("route del blackhole ", outside_, "/32")));
  return status;
}

}  // namespace tramontane
