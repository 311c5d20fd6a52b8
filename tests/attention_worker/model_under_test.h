// A whole model for a test: a real checkpoint, an attention worker, and fake expert workers.
#ifndef TRAMONTANE_TESTS_ATTENTION_WORKER_MODEL_UNDER_TEST_H_
#define TRAMONTANE_TESTS_ATTENTION_WORKER_MODEL_UNDER_TEST_H_

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "attention_worker/attention_worker.h"
#include "attention_worker/step_observer.h"
#include "kernels/backend.h"
#include "model/checkpoint.h"
#include "tests/fakes/fake_expert_client.h"
#include "tests/fakes/fake_expert_directory.h"

namespace tramontane {

// The experts of each worker, worker after worker.
using Placement = std::vector<std::vector<ExpertWorkerDescription::Hosted>>;

// Each worker with an equal share of neighbouring experts of every layer.
Placement EvenPlacement(const MixtralConfig& config, int num_workers);

struct ModelOptions {
  std::string backend = "cpu";  // or "reference", "cuda"
  DType compute_dtype = DType::kF32;
  bool cuda_graphs = false;
  AttentionWorkerOptions attention = {.kv_cache_tokens = 4096, .max_step_tokens = 512};
  int max_batch_rows = 65'536;
  // Experts on the attention's own backend; the placement then serves nothing.
  bool local_experts = false;
  // Absent: one worker with everything.
  std::function<Placement(const MixtralConfig&)> placement = nullptr;
};

// Counts what it is told. Read by the thread that runs the steps, but for WaitForRetry.
class RoutingCounter : public StepObserver {
 public:
  void OnRouted(int layer, std::span<const int64_t> tokens_per_expert) override;
  void OnHop(std::string_view worker_address, int layer, const absl::Status& status,
             const HopTiming& timing) override;
  void OnRetry(std::string_view worker_address, int layer, std::string_view reason) override;
  void OnSetAside(std::string_view worker_address, const absl::Status& reason) override;
  void OnHedge(std::string_view worker_address, int layer) override;
  void OnLateAnswers(int64_t count) override;
  void OnExpertWaitBegin(int layer) override;
  void OnExpertWaitEnd(int layer, absl::Duration waited) override;
  void OnExpertWaitInterrupted(int layer) override;
  void OnStall(int layer, absl::Duration stall) override;
  void OnStep(int64_t num_rows, absl::Duration total, absl::Duration expert_wait) override;

  // Returns once rows were sent again.
  void WaitForRetry() { retried_.wait(false); }

  std::vector<std::vector<int64_t>> expert_tokens;  // [L][E]
  std::vector<absl::Status> hops;
  std::vector<int64_t> steps;          // rows of each
  std::vector<std::string> retries;    // reasons
  std::vector<std::string> set_aside;  // addresses
  int hedges = 0;
  int64_t late_answers = 0;
  int expert_waits = 0;
  int running_expert_waits = 0;
  int interrupted_expert_waits = 0;
  int stalls = 0;

 private:
  std::atomic<bool> retried_ = false;
};

struct ModelUnderTest {
  std::shared_ptr<const Checkpoint> checkpoint;
  std::unique_ptr<Backend> backend;
  std::vector<std::unique_ptr<PackedExpert>> packed_experts;  // [L * E] of local experts
  std::unique_ptr<LocalExperts> local_experts;
  std::vector<std::shared_ptr<FakeExpertClient>> clients;
  std::unique_ptr<FakeExpertDirectory> directory;
  std::unique_ptr<RoutingCounter> observer;
  std::unique_ptr<AttentionWorker> worker;

  ModelUnderTest() = default;
  ModelUnderTest(ModelUnderTest&&) = default;
  // What it had goes with `other`, the worker first, which uses the rest.
  ModelUnderTest& operator=(ModelUnderTest&& other) {
    checkpoint.swap(other.checkpoint);
    backend.swap(other.backend);
    packed_experts.swap(other.packed_experts);
    local_experts.swap(other.local_experts);
    clients.swap(other.clients);
    directory.swap(other.directory);
    observer.swap(other.observer);
    worker.swap(other.worker);
    return *this;
  }

  const MixtralConfig& config() const { return checkpoint->config(); }
};

absl::StatusOr<ModelUnderTest> LoadModel(const std::string& directory, const ModelOptions& options);

// "demo", "tiny_f32", …: where checkpoint and golden values lie.
std::string CheckpointDirectory(const std::string& name);
std::string GoldenDirectory(const std::string& name);

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_ATTENTION_WORKER_MODEL_UNDER_TEST_H_
