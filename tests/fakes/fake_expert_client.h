// Expert workers without processes: they compute in the caller's thread, or do what a test says.
#ifndef TRAMONTANE_TESTS_FAKES_FAKE_EXPERT_CLIENT_H_
#define TRAMONTANE_TESTS_FAKES_FAKE_EXPERT_CLIENT_H_

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "attention_worker/expert_client.h"
#include "kernels/backend.h"
#include "model/checkpoint.h"

namespace tramontane {

// All experts of a checkpoint, packed once for any number of fake workers. Thread-safe.
class FakeExpertWeights {
 public:
  // Computes with `backend`, which nothing else uses. Fails as Backend::PackExpert.
  static absl::StatusOr<std::shared_ptr<FakeExpertWeights>> Load(
      std::shared_ptr<const Checkpoint> checkpoint, std::unique_ptr<Backend> backend);

  // The unweighted answers to a batch, which is taken to be well-formed.
  absl::StatusOr<ExpertBatchResult> Compute(const ExpertBatch& batch);

  const Checkpoint& checkpoint() const { return *checkpoint_; }
  DType row_dtype() const { return backend_->compute_dtype(); }
  std::string backend_name() const { return std::string(backend_->name()); }

 private:
  FakeExpertWeights(std::shared_ptr<const Checkpoint> checkpoint, std::unique_ptr<Backend> backend)
      : checkpoint_(std::move(checkpoint)), backend_(std::move(backend)) {}

  const std::shared_ptr<const Checkpoint> checkpoint_;
  const std::unique_ptr<Backend> backend_;
  std::vector<std::unique_ptr<PackedExpert>> experts_;  // [num_layers * num_experts]
  std::mutex computing_;                                // one operation of a backend at a time
};

// One fake worker. Thread-safe.
class FakeExpertClient : public ExpertClient {
 public:
  using Answer = std::function<absl::StatusOr<ExpertBatchResult>(const ExpertBatch&)>;

  FakeExpertClient(std::string address, std::shared_ptr<FakeExpertWeights> weights,
                   std::vector<ExpertWorkerDescription::Hosted> experts,
                   int max_batch_rows = 65'536);
  // Answers what is still held back with CANCELLED.
  ~FakeExpertClient() override;

  const std::string& address() const override { return address_; }
  const ExpertWorkerDescription& description() const override { return description_; }
  // Computes and calls `done` before it returns, but for what a test has set below.
  void Execute(ExpertBatch batch, Done done) override;

  // From now on, what a batch is answered with in place of the experts' rows.
  void AnswerWith(Answer answer);
  void AnswerWithExperts() { AnswerWith(nullptr); }

  // The experts' rows, for an answer that a test has set.
  absl::StatusOr<ExpertBatchResult> Compute(const ExpertBatch& batch) const {
    return weights_->Compute(batch);
  }

  // From now on batches are held back until Release, which answers them on the caller's thread.
  void Hold();
  // From the first batch on at which `begins` returns true.
  void HoldWhen(std::function<bool()> begins);
  // Returns once `count` batches are held.
  void WaitForHeld(size_t count);
  // Answers what is held; later batches are no longer held.
  void Release();

  // Every batch so far; `rows` of a batch are valid only while it is unanswered.
  std::vector<ExpertBatch> batches() const;

 private:
  absl::StatusOr<ExpertBatchResult> AnswerTo(const ExpertBatch& batch) const;

  const std::string address_;
  const std::shared_ptr<FakeExpertWeights> weights_;
  const ExpertWorkerDescription description_;

  mutable std::mutex mutex_;
  std::condition_variable held_changed_;
  Answer answer_ ABSL_GUARDED_BY(mutex_);                    // null: the experts' rows
  std::function<bool()> hold_when_ ABSL_GUARDED_BY(mutex_);  // null: never
  bool holding_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::pair<ExpertBatch, Done>> held_ ABSL_GUARDED_BY(mutex_);
  std::vector<ExpertBatch> batches_ ABSL_GUARDED_BY(mutex_);
};

// Experts `first` to `last` of every layer.
std::vector<ExpertWorkerDescription::Hosted> ExpertsOfEveryLayer(const MixtralConfig& config,
                                                                 int first, int last);

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_FAKES_FAKE_EXPERT_CLIENT_H_
