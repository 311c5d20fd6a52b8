#include "attention_worker/kv_cache/available_memory.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "absl/strings/numbers.h"

namespace tramontane {
namespace {

// "" where the file cannot be read.
std::string ReadText(const char* path) {
  const std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// What the limit of the cgroup that a container sees as its root leaves; nothing without one.
std::optional<int64_t> CgroupLeft() {
  int64_t limit = 0;
  int64_t used = 0;
  // A memory.max of "max" is no number: no limit.
  if (!absl::SimpleAtoi(ReadText("/sys/fs/cgroup/memory.max"), &limit) ||
      !absl::SimpleAtoi(ReadText("/sys/fs/cgroup/memory.current"), &used)) {
    return std::nullopt;
  }
  // The kernel takes page cache back before it refuses memory; a mapped checkpoint is page cache.
  const std::string stat = ReadText("/sys/fs/cgroup/memory.stat");
  used -= NumberAfter("active_file", stat).value_or(0);
  used -= NumberAfter("inactive_file", stat).value_or(0);
  return std::clamp<int64_t>(limit - used, 0, limit);
}

}  // namespace

std::optional<int64_t> NumberAfter(const std::string& key, const std::string& lines) {
  std::istringstream stream(lines);
  for (std::string line; std::getline(stream, line);) {
    std::istringstream words(line);
    std::string word;
    int64_t number = 0;
    if (words >> word && word == key) {
      return words >> number ? std::optional<int64_t>(number) : std::nullopt;
    }
  }
  return std::nullopt;
}

int64_t AvailableMemoryBytes() {
  const std::optional<int64_t> kibibytes = NumberAfter("MemAvailable:", ReadText("/proc/meminfo"));
  int64_t available = kibibytes.has_value()
                          ? *kibibytes * 1024
                          : static_cast<int64_t>(sysconf(_SC_AVPHYS_PAGES)) * sysconf(_SC_PAGESIZE);
  if (const std::optional<int64_t> left = CgroupLeft()) available = std::min(available, *left);
  return available;
}

}  // namespace tramontane
