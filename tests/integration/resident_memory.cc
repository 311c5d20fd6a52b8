#include "tests/integration/resident_memory.h"

#include <fstream>
#include <sstream>
#include <string>

#include "absl/strings/str_cat.h"

namespace tramontane {

absl::StatusOr<ResidentMemory> ReadResidentMemory(pid_t pid) {
  std::ifstream status(absl::StrCat("/proc/", pid, "/status"));
  ResidentMemory memory;
  int found = 0;
  for (std::string line; std::getline(status, line);) {
    std::istringstream words(line);
    std::string key;
    int64_t kibibytes = 0;
    words >> key >> kibibytes;
    int64_t* const value = key == "RssAnon:"   ? &memory.anonymous
                           : key == "RssFile:" ? &memory.mapped
                           : key == "VmHWM:"   ? &memory.peak
                                               : nullptr;
    if (value == nullptr) continue;
    *value = kibibytes * 1024;
    ++found;
  }
  if (found == 3) return memory;
  return absl::UnavailableError(absl::StrCat("/proc/", pid, "/status says no resident memory"));
}

absl::Status ForgetPeak(pid_t pid) {
  std::ofstream clear(absl::StrCat("/proc/", pid, "/clear_refs"));
  clear << 5 << std::flush;
  if (clear) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("/proc/", pid, "/clear_refs cannot be written"));
}

}  // namespace tramontane
