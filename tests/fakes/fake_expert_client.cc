#include "tests/fakes/fake_expert_client.h"

#include "kernels/buffer.h"
#include "kernels/expert_ffn.h"
#include "model/check.h"

namespace tramontane {
namespace {

ExpertWorkerDescription Describe(const FakeExpertWeights& weights,
                                 std::vector<ExpertWorkerDescription::Hosted> experts,
                                 int max_batch_rows) {
  const MixtralConfig& config = weights.checkpoint().config();
  ExpertWorkerDescription description;
  description.digest = weights.checkpoint().digest();
  description.row_dtype = weights.row_dtype();
  description.backend = weights.backend_name();
  description.experts = std::move(experts);
  description.num_layers = config.num_layers;
  description.num_experts = config.num_experts;
  description.hidden_size = config.hidden_size;
  description.intermediate_size = config.intermediate_size;
  description.max_batch_rows = max_batch_rows;
  return description;
}

}  // namespace

absl::StatusOr<std::shared_ptr<FakeExpertWeights>> FakeExpertWeights::Load(
    std::shared_ptr<const Checkpoint> checkpoint, std::unique_ptr<Backend> backend) {
  std::shared_ptr<FakeExpertWeights> weights(
      new FakeExpertWeights(std::move(checkpoint), std::move(backend)));
  const MixtralConfig& config = weights->checkpoint_->config();
  for (int layer = 0; layer < config.num_layers; ++layer) {
    for (int expert = 0; expert < config.num_experts; ++expert) {
      const ExpertTensors tensors = weights->checkpoint_->Expert(layer, expert);
      absl::StatusOr<std::unique_ptr<PackedExpert>> packed =
          weights->backend_->PackExpert(tensors.w1, tensors.w3, tensors.w2);
      if (!packed.ok()) return packed.status();
      weights->experts_.push_back(*std::move(packed));
    }
  }
  return weights;
}

absl::StatusOr<ExpertBatchResult> FakeExpertWeights::Compute(const ExpertBatch& batch) {
  const size_t row_bytes = static_cast<size_t>(batch.hidden_size) * DTypeSize(batch.row_dtype);
  absl::StatusOr<Buffer> allocated = backend_->AllocateShared(batch.row_indices.size() * row_bytes);
  if (!allocated.ok()) return allocated.status();
  const auto rows = std::make_shared<Buffer>(*std::move(allocated));

  std::vector<const std::byte*> input;
  ExpertBatchResult result;
  for (size_t pair = 0; pair < batch.row_indices.size(); ++pair) {
    input.push_back(batch.rows + static_cast<size_t>(batch.row_indices[pair]) * row_bytes);
    result.row_pointers.push_back(rows->bytes() + pair * row_bytes);
  }
  std::vector<ExpertRows> groups;
  size_t first_pair = 0;
  for (size_t group = 0; group < batch.expert_ids.size(); ++group) {
    const auto num_rows = static_cast<size_t>(batch.rows_per_expert[group]);
    const size_t expert = static_cast<size_t>(batch.layer) * checkpoint_->config().num_experts +
                          static_cast<size_t>(batch.expert_ids[group]);
    groups.push_back({.expert = experts_[expert].get(),
                      .input = std::span(input).subspan(first_pair, num_rows),
                      .output = rows->bytes() + first_pair * row_bytes});
    first_pair += num_rows;
  }
  {
    const std::lock_guard<std::mutex> lock(computing_);
    backend_->ExpertFfn({.groups = groups});
    const absl::Status finished = backend_->Finish();
    if (!finished.ok()) return finished;
  }
  result.owner = rows;
  return result;
}

FakeExpertClient::FakeExpertClient(std::string address, std::shared_ptr<FakeExpertWeights> weights,
                                   std::vector<ExpertWorkerDescription::Hosted> experts,
                                   int max_batch_rows)
    : address_(std::move(address)),
      weights_(std::move(weights)),
      description_(Describe(*weights_, std::move(experts), max_batch_rows)) {}

FakeExpertClient::~FakeExpertClient() {
  for (auto& [batch, done] : held_) done(absl::CancelledError("the fake worker went away"));
}

void FakeExpertClient::Execute(ExpertBatch batch, Done done) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    batches_.push_back(batch);
    batches_.back().rows_owner = nullptr;
    if (hold_when_ != nullptr && hold_when_()) {
      holding_ = true;
      hold_when_ = nullptr;
    }
    if (holding_) {
      held_.emplace_back(std::move(batch), std::move(done));
      held_changed_.notify_all();
      return;
    }
  }
  done(AnswerTo(batch));
}

absl::StatusOr<ExpertBatchResult> FakeExpertClient::AnswerTo(const ExpertBatch& batch) const {
  Answer answer;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    answer = answer_;
  }
  return answer != nullptr ? answer(batch) : weights_->Compute(batch);
}

void FakeExpertClient::AnswerWith(Answer answer) {
  const std::lock_guard<std::mutex> lock(mutex_);
  answer_ = std::move(answer);
}

void FakeExpertClient::Hold() {
  const std::lock_guard<std::mutex> lock(mutex_);
  holding_ = true;
}

void FakeExpertClient::HoldWhen(std::function<bool()> begins) {
  const std::lock_guard<std::mutex> lock(mutex_);
  hold_when_ = std::move(begins);
}

void FakeExpertClient::WaitForHeld(size_t count) {
  std::unique_lock<std::mutex> lock(mutex_);
  held_changed_.wait(lock, [this, count] { return held_.size() >= count; });
}

void FakeExpertClient::Release() {
  std::vector<std::pair<ExpertBatch, Done>> held;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    holding_ = false;
    hold_when_ = nullptr;
    held.swap(held_);
  }
  for (auto& [batch, done] : held) done(AnswerTo(batch));
}

std::vector<ExpertBatch> FakeExpertClient::batches() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return batches_;
}

std::vector<ExpertWorkerDescription::Hosted> ExpertsOfEveryLayer(const MixtralConfig& config,
                                                                 int first, int last) {
  TRAMONTANE_CHECK(0 <= first && first <= last && last < config.num_experts);
  std::vector<ExpertWorkerDescription::Hosted> experts;
  for (int layer = 0; layer < config.num_layers; ++layer) {
    for (int expert = first; expert <= last; ++expert) experts.push_back({layer, expert});
  }
  return experts;
}

}  // namespace tramontane
