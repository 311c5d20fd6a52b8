// Clients of every sort at once: whatever they are answered is compared with what is known.
#ifndef TRAMONTANE_TESTS_CHAOS_MIXED_LOAD_H_
#define TRAMONTANE_TESTS_CHAOS_MIXED_LOAD_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/inference.grpc.pb.h"
#include "tests/chaos/load_sort.h"

namespace tramontane {

struct MixedLoadOptions {
  int num_clients = 8;
  // Between a client's requests, varied by half; 0: none. Keeps the load of a long run low.
  absl::Duration pause;
};

// What the clients of one sort have seen.
struct SortReport {
  std::string sort;
  int64_t num_requests = 0;
  int64_t num_cut = 0;        // of them: ended early by their client or its deadline, as meant
  int64_t num_failed = 0;     // of them: ended in a way that the sort does not expect
  int64_t num_different = 0;  // of them: with other bits than are known
  int64_t num_tokens = 0;
  absl::Duration longest_stall;  // without a message, from the request's start
  std::string first_failure;     // "" where none failed
};

// Thread-safe. Starts with the object; ends with it.
class MixedLoad {
 public:
  // Asks for each known answer alone first: the request's status where that fails.
  static absl::StatusOr<std::unique_ptr<MixedLoad>> Start(v1::Inference::Stub* stub,
                                                          const MixedLoadOptions& options);
  ~MixedLoad();

  // Waits for the requests that run; there are no more after them.
  void Stop();
  // One of each sort, so far.
  std::vector<SortReport> Report() const;

 private:
  struct Asked {
    const LoadSort* sort;
    v1::GenerateRequest request;
    CompletionBits known;
  };
  struct Text {
    std::string text;
    std::vector<uint32_t> token_ids;
    std::string back;  // of token_ids
  };

  MixedLoad(v1::Inference::Stub* stub, const MixedLoadOptions& options);
  void RunClient(int client);
  void Ask(const Asked& asked, uint32_t chance);
  // Tokenizes, and gets the text back.
  void AskForTokens(const Text& text);
  void Count(const std::string& sort, const SortReport& one);

  v1::Inference::Stub* const stub_;
  const MixedLoadOptions options_;
  std::vector<Asked> asked_;
  std::vector<Text> texts_;
  std::atomic<bool> stopping_{false};

  mutable std::mutex mutex_;
  std::map<std::string, SortReport> reports_ ABSL_GUARDED_BY(mutex_);

  std::vector<std::thread> clients_;  // last: they use all of the above
};

// A line for each sort of which requests failed or differ.
std::vector<std::string> LoadFaults(const std::vector<SortReport>& load);

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_CHAOS_MIXED_LOAD_H_
