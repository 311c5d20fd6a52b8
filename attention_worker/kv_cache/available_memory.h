// How much memory this process may still take.
#ifndef TRAMONTANE_ATTENTION_WORKER_KV_CACHE_AVAILABLE_MEMORY_H_
#define TRAMONTANE_ATTENTION_WORKER_KV_CACHE_AVAILABLE_MEMORY_H_

#include <cstdint>
#include <optional>
#include <string>

namespace tramontane {

// Bytes that can be had without swapping: the kernel's MemAvailable (proc(5)), or what the limit of
// the cgroup leaves (cgroup v2, the page cache not counted), whichever is less.
int64_t AvailableMemoryBytes();

// The number after `key` in lines of the form "KEY NUMBER …" (/proc/meminfo, memory.stat); nothing
// where there is none.
std::optional<int64_t> NumberAfter(const std::string& key, const std::string& lines);

}  // namespace tramontane

#endif  // TRAMONTANE_ATTENTION_WORKER_KV_CACHE_AVAILABLE_MEMORY_H_
