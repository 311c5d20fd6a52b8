// Which attention worker a sequence is to run on.
#ifndef TRAMONTANE_COORDINATOR_ATTENTION_PLACEMENT_H_
#define TRAMONTANE_COORDINATOR_ATTENTION_PLACEMENT_H_

#include <cstddef>
#include <cstdint>
#include <list>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace tramontane {

struct AttentionLoad {
  bool ready = false;   // could take a sequence now
  int num_running = 0;  // sequences
  // OK where it takes sequences, though it may have no place for one now.
  absl::Status readiness = absl::OkStatus();
};

// Prefix-aware, then least loaded: the worker that has run the longest beginning of the tokens,
// where that is worth it; else the one that runs the fewest sequences. Remembers hashes of
// beginnings, a bounded number, least recently used first out; a wrong guess costs time, never a
// token. Not thread-safe.
class AttentionPlacement {
 public:
  // block_size: tokens, of the workers' prefix caches.
  AttentionPlacement(int num_workers, int block_size, size_t max_beginnings = size_t{1} << 16);
  void AddWorker() { ++num_workers_; }

  // Of the workers that are ready; -1 where none is.
  int Choose(std::span<const int32_t> token_ids, std::span<const AttentionLoad> loads);
  // `worker` has taken a sequence that begins with `token_ids`.
  void Record(std::span<const int32_t> token_ids, int worker);

 private:
  struct Beginning {
    int worker;
    std::list<uint64_t>::iterator use;
  };

  int num_workers_;
  const size_t block_size_;
  const size_t max_beginnings_;
  std::unordered_map<uint64_t, Beginning> beginnings_;  // by the hash of whole blocks
  std::list<uint64_t> uses_;                            // the least recent first
};

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_ATTENTION_PLACEMENT_H_
