#include "expert_worker/hosted_experts.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "kernels/buffer.h"
#include "kernels/expert_ffn.h"
#include "kernels/free_memory.h"
#include "model/log.h"

namespace tramontane {
namespace {

// Logs how far loading is: every second, and at the end. For one thread.
class LoadProgress {
 public:
  explicit LoadProgress(int num_experts) : num_experts_(num_experts) {}

  void OnExpert(size_t mapped_bytes, size_t packed_bytes) {
    ++loaded_;
    mapped_bytes_ += mapped_bytes;
    packed_bytes_ += packed_bytes;
    const absl::Time now = absl::Now();
    if (now - last_line_ < absl::Seconds(1) || loaded_ == num_experts_) return;
    last_line_ = now;
    Log(LogLevel::kInfo, "loading experts",
        {{"loaded", loaded_},
         {"of", num_experts_},
         {"percent", 100 * int64_t{loaded_} / num_experts_},
         {"packed_bytes", packed_bytes_}});
  }

  void Finish() const {
    const double seconds = absl::ToDoubleSeconds(absl::Now() - start_);
    Log(LogLevel::kInfo, "experts loaded",
        {{"experts", loaded_},
         {"mapped_bytes", mapped_bytes_},
         {"packed_bytes", packed_bytes_},
         {"seconds", absl::StrFormat("%.3f", seconds)},
         {"gb_per_s", absl::StrFormat("%.2f", seconds > 0 ? mapped_bytes_ / seconds / 1e9 : 0.0)}});
  }

 private:
  const int num_experts_;
  const absl::Time start_ = absl::Now();
  absl::Time last_line_ = start_;
  int loaded_ = 0;
  size_t mapped_bytes_ = 0;
  size_t packed_bytes_ = 0;
};

void WillRead(const Checkpoint& checkpoint, const ExpertTensors& tensors) {
  checkpoint.WillRead(tensors.w1);
  checkpoint.WillRead(tensors.w3);
  checkpoint.WillRead(tensors.w2);
}

void DropPages(const Checkpoint& checkpoint, const ExpertTensors& tensors) {
  checkpoint.DropPages(tensors.w1);
  checkpoint.DropPages(tensors.w3);
  checkpoint.DropPages(tensors.w2);
}

}  // namespace

HostedExperts::HostedExperts(std::shared_ptr<const Checkpoint> checkpoint, ExpertSet set,
                             Backend* backend)
    : checkpoint_(std::move(checkpoint)), set_(std::move(set)), backend_(backend) {
  experts_.resize(static_cast<size_t>(set_.num_layers()) * static_cast<size_t>(set_.num_experts()));
}

absl::StatusOr<std::unique_ptr<HostedExperts>> HostedExperts::Load(
    std::shared_ptr<const Checkpoint> checkpoint, const ExpertSet& set, Backend* backend) {
  const MixtralConfig& config = checkpoint->config();
  if (set.num_layers() != config.num_layers || set.num_experts() != config.num_experts) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the expert set is for ", set.num_layers(), " layers of ", set.num_experts(),
        " experts, the checkpoint has ", config.num_layers, " layers of ", config.num_experts));
  }
  std::unique_ptr<HostedExperts> hosted(new HostedExperts(checkpoint, set, backend));
  const std::vector<std::pair<int, int>> members = set.Members();
  const int64_t expert_bytes = int64_t{3} * config.hidden_size * config.intermediate_size *
                               static_cast<int64_t>(DTypeSize(backend->compute_dtype()));
  absl::Status fits = CheckFreeBytes(
      *backend, static_cast<int64_t>(members.size()) * expert_bytes,
      absl::StrCat(members.size(), " experts"),
      "host fewer in this process (--experts), or on a device with more free memory");
  if (!fits.ok()) return fits;
  LoadProgress progress(static_cast<int>(members.size()));
  if (!members.empty()) {
    WillRead(*checkpoint, checkpoint->Expert(members[0].first, members[0].second));
  }
  for (size_t i = 0; i < members.size(); ++i) {
    const auto [layer, expert] = members[i];
    // The disk reads the next expert while this one is packed on the backend's threads.
    if (i + 1 < members.size()) {
      WillRead(*checkpoint, checkpoint->Expert(members[i + 1].first, members[i + 1].second));
    }
    const ExpertTensors tensors = checkpoint->Expert(layer, expert);
    absl::StatusOr<std::unique_ptr<PackedExpert>> packed =
        backend->PackExpert(tensors.w1, tensors.w3, tensors.w2);
    if (!packed.ok()) {
      return absl::Status(
          packed.status().code(),
          absl::StrCat("expert ", expert, " of layer ", layer, ": ", packed.status().message()));
    }
    // Only one copy of the weights stays resident.
    DropPages(*checkpoint, tensors);
    progress.OnExpert(tensors.w1.num_bytes() + tensors.w3.num_bytes() + tensors.w2.num_bytes(),
                      (*packed)->num_bytes());
    hosted->experts_[static_cast<size_t>(layer) * config.num_experts + expert] = *std::move(packed);
  }
  progress.Finish();
  if (!members.empty() && !backend->host_sees_memory()) {
    const absl::Status warm = hosted->WarmUp(*hosted->Find(members[0].first, members[0].second));
    if (!warm.ok()) return warm;
  }
  return hosted;
}

absl::Status HostedExperts::WarmUp(const PackedExpert& expert) const {
  const size_t row_bytes =
      static_cast<size_t>(config().hidden_size) * DTypeSize(backend_->compute_dtype());
  // Like a batch's: what comes from a client lies in memory of the host's, what goes there does
  // not.
  const std::vector<std::byte> row(row_bytes);
  const std::byte* const input = row.data();
  const absl::StatusOr<Buffer> output = backend_->AllocateShared(row_bytes);
  if (!output.ok()) return output.status();
  const ExpertRows group = {&expert, {&input, 1}, output->bytes()};
  backend_->ExpertFfn({{&group, 1}});
  return backend_->Finish();
}

std::vector<std::vector<const PackedExpert*>> HostedExperts::All() const {
  std::vector<std::vector<const PackedExpert*>> all(static_cast<size_t>(set_.num_layers()));
  for (int layer = 0; layer < set_.num_layers(); ++layer) {
    for (int expert = 0; expert < set_.num_experts(); ++expert) {
      all[static_cast<size_t>(layer)].push_back(Find(layer, expert));
    }
  }
  return all;
}

const PackedExpert* HostedExperts::Find(int layer, int expert) const {
  if (!set_.Contains(layer, expert)) return nullptr;
  return experts_[static_cast<size_t>(layer) * set_.num_experts() + expert].get();
}

}  // namespace tramontane
