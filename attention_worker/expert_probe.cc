#include "attention_worker/expert_probe.h"

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "kernels/elements.h"
#include "kernels/expert_ffn.h"
#include "model/log.h"

namespace tramontane {
namespace {

// Root of the sum of squared differences over that of the expected numbers. Kernels differ in the
// order of float32 sums, which moves a bf16 rounding here and there by one unit, 2^-8 of a number:
// of silu(w1 x) * (w3 x) and of the answer. Damage is of the size of the numbers themselves.
constexpr double kToleranceBF16 = 1.0 / 64;
constexpr double kToleranceF32 = 1.0 / 4096;

// Numbers in [-1, 1] that both formats hold exactly, without a pattern that weights could share.
std::vector<std::byte> Question(int64_t hidden_size, DType dtype) {
  std::vector<std::byte> row(static_cast<size_t>(hidden_size) * DTypeSize(dtype));
  uint32_t state = 1;
  for (int64_t i = 0; i < hidden_size; ++i) {
    state = state * 1664525u + 1013904223u;  // Numerical Recipes' generator
    StoreElement(row.data(), dtype, i, (static_cast<int>((state >> 16) % 257) - 128) / 128.0f);
  }
  return row;
}

// The answer to one batch, awaited.
class AwaitedAnswer {
 public:
  void Set(absl::StatusOr<ExpertBatchResult> answer) {
    const std::lock_guard<std::mutex> lock(mutex_);
    answer_ = std::move(answer);
    answered_.notify_all();
  }
  absl::StatusOr<ExpertBatchResult> Await() {
    std::unique_lock<std::mutex> lock(mutex_);
    answered_.wait(lock, [this] { return answer_.has_value(); });
    return *std::move(answer_);
  }

 private:
  std::mutex mutex_;
  std::condition_variable answered_;
  std::optional<absl::StatusOr<ExpertBatchResult>> answer_ ABSL_GUARDED_BY(mutex_);
};

// Spread over a worker's experts, so that neighbours in time are of different layers.
size_t Chosen(size_t index, size_t num_hosted) {
  constexpr double kGoldenRatio = 0.6180339887498949;
  const double turns = static_cast<double>(index) * kGoldenRatio;
  return std::min(num_hosted - 1, static_cast<size_t>((turns - std::floor(turns)) *
                                                      static_cast<double>(num_hosted)));
}

}  // namespace

ExpertProbe::ExpertProbe(std::shared_ptr<const Checkpoint> checkpoint,
                         std::unique_ptr<Backend> backend, const ExpertProbeOptions& options)
    : checkpoint_(std::move(checkpoint)),
      backend_(std::move(backend)),
      options_(options),
      hidden_size_(checkpoint_->config().hidden_size),
      dtype_(backend_->compute_dtype()),
      question_(std::make_shared<const Row>(Question(hidden_size_, dtype_))) {}

absl::Status ExpertProbe::Probe(const std::shared_ptr<ExpertClient>& client, int wrong_answers) {
  const std::vector<ExpertWorkerDescription::Hosted>& hosted = client->description().experts;
  if (hosted.empty()) return absl::OkStatus();
  const auto first = 2 * static_cast<size_t>(wrong_answers);
  const size_t count = wrong_answers == 0 ? 1 : 2;
  for (size_t index = first; index < first + count; ++index) {
    const absl::Status status = ProbeExpert(client, hosted[Chosen(index, hosted.size())]);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status ExpertProbe::ProbeExpert(const std::shared_ptr<ExpertClient>& client,
                                      const ExpertWorkerDescription::Hosted& hosted) {
  const absl::StatusOr<Row> expected = KnownAnswer(hosted.layer, hosted.expert);
  const absl::StatusOr<ExpertBatchResult> answer = Ask(client, hosted);
  const std::string where = absl::StrCat("expert worker ", client->address(), ": its probe, layer ",
                                         hosted.layer, " expert ", hosted.expert, ": ");
  if (!answer.ok()) {
    return absl::Status(answer.status().code(), absl::StrCat(where, answer.status().message()));
  }
  if (!expected.ok()) {
    Log(LogLevel::kWarning, "expert worker used without a comparison of its answer",
        {{"worker", client->address()}, {"reason", expected.status().message()}});
    return absl::OkStatus();
  }
  if (answer->row_pointers.size() != 1) {
    return absl::FailedPreconditionError(
        absl::StrCat(where, "expected 1 row, found ", answer->row_pointers.size()));
  }
  const bool same_kernels = client->description().backend == backend_->name();
  const absl::Status compared = Compare(*expected, answer->row_pointers.front(), same_kernels);
  if (compared.ok()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(where, "a wrong answer: ", compared.message(),
                   "; compare the SHA-256 of the files of both checkpoints, and check the worker's "
                   "hardware"));
}

absl::StatusOr<ExpertBatchResult> ExpertProbe::Ask(
    const std::shared_ptr<ExpertClient>& client,
    const ExpertWorkerDescription::Hosted& hosted) const {
  ExpertBatch batch;
  batch.layer = hosted.layer;
  batch.row_dtype = dtype_;
  batch.num_rows = 1;
  batch.hidden_size = hidden_size_;
  batch.rows = question_->data();
  batch.expert_ids = {hosted.expert};
  batch.rows_per_expert = {1};
  batch.row_indices = {0};
  batch.deadline = absl::Now() + options_.timeout;  // by which the client answers
  auto answer = std::make_shared<AwaitedAnswer>();
  client->Execute(std::move(batch), [answer](absl::StatusOr<ExpertBatchResult> result) {
    answer->Set(std::move(result));
  });
  return answer->Await();
}

absl::StatusOr<ExpertProbe::Row> ExpertProbe::KnownAnswer(int layer, int expert) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const std::pair<int, int> key(layer, expert);
  if (const auto found = known_answers_.find(key); found != known_answers_.end()) {
    return found->second;
  }
  const ExpertTensors tensors = checkpoint_->Expert(layer, expert);
  const absl::StatusOr<std::unique_ptr<PackedExpert>> packed =
      backend_->PackExpert(tensors.w1, tensors.w3, tensors.w2);
  for (const TensorView* tensor : {&tensors.w1, &tensors.w3, &tensors.w2}) {
    checkpoint_->DropPages(*tensor);
  }
  if (!packed.ok()) return packed.status();
  Row answer(static_cast<size_t>(hidden_size_) * DTypeSize(dtype_));
  const std::byte* const question = question_->data();
  ExpertRows rows;
  rows.expert = packed->get();
  rows.input = {&question, 1};
  rows.output = answer.data();
  ExpertFfnArgs args;
  args.groups = {&rows, 1};
  backend_->ExpertFfn(args);
  if (known_answers_.size() >= options_.max_known_answers) {
    known_answers_.erase(known_answers_.begin());
  }
  known_answers_[key] = answer;
  return answer;
}

absl::Status ExpertProbe::Compare(const Row& expected, const std::byte* found,
                                  bool same_kernels) const {
  if (same_kernels && std::memcmp(expected.data(), found, expected.size()) == 0) {
    return absl::OkStatus();
  }
  double square = 0;
  double squared_difference = 0;
  for (int64_t i = 0; i < hidden_size_; ++i) {
    const double e = LoadElement(expected.data(), dtype_, i);
    const double f = LoadElement(found, dtype_, i);
    square += e * e;
    squared_difference += (f - e) * (f - e);
  }
  const double error = std::sqrt(squared_difference / std::max(square, 1e-30));
  const double tolerance = dtype_ == DType::kBF16 ? kToleranceBF16 : kToleranceF32;
  if (!same_kernels && error <= tolerance) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(
      "it differs by ", error, " of the size of the expected row; expected ",
      same_kernels ? std::string("the same bits") : absl::StrCat("at most ", tolerance),
      "; the first number: expected ", LoadElement(expected.data(), dtype_, 0), ", found ",
      LoadElement(found, dtype_, 0)));
}

}  // namespace tramontane
