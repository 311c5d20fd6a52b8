#include "tests/chaos/process_use.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"

namespace tramontane {
namespace {

int64_t CountEntries(const std::string& directory) {
  std::error_code error;
  int64_t count = 0;
  for (std::filesystem::directory_iterator it(directory, error), end; !error && it != end;
       it.increment(error)) {
    ++count;
  }
  return count;
}

}  // namespace

ProcessUse UseOf(pid_t pid) {
  const std::string proc = absl::StrCat("/proc/", pid);
  ProcessUse use;
  // In pages: https://www.kernel.org/doc/html/latest/filesystems/proc.html, "statm".
  std::ifstream statm(proc + "/statm");
  int64_t size_pages = 0, resident_pages = 0;
  if (statm >> size_pages >> resident_pages) {
    use.resident_kib = resident_pages * (sysconf(_SC_PAGESIZE) / 1024);
  }
  use.descriptors = CountEntries(proc + "/fd");
  use.threads = CountEntries(proc + "/task");
  return use;
}

ProcessUse Most(const ProcessUse& a, const ProcessUse& b) {
  return {std::max(a.resident_kib, b.resident_kib), std::max(a.descriptors, b.descriptors),
          std::max(a.threads, b.threads)};
}

}  // namespace tramontane
