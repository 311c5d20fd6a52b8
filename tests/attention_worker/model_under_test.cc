#include "tests/attention_worker/model_under_test.h"

#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/create_backend.h"

namespace tramontane {
namespace {

absl::StatusOr<std::unique_ptr<Backend>> MakeBackend(const ModelOptions& options) {
  if (options.backend == "cuda") {
    return CreateBackend({.device = "cuda:0",
                          .compute_dtype = options.compute_dtype,
                          .num_threads = 2,
                          .isa = "",
                          .cuda_graphs = options.cuda_graphs});
  }
  if (options.backend == "reference") return CreateReferenceBackend(options.compute_dtype);
  // On a machine with a GPU, tests/gpu/run.sh.
  const char* const device = std::getenv("TRAMONTANE_TEST_DEVICE");
  return CreateBackend({.device = device != nullptr ? device : "cpu",
                        .compute_dtype = options.compute_dtype,
                        .num_threads = 2,
                        .isa = "",
                        .cuda_graphs = false});
}

absl::Status PackLocalExperts(ModelUnderTest& model) {
  model.local_experts = std::make_unique<LocalExperts>();
  for (int layer = 0; layer < model.config().num_layers; ++layer) {
    model.local_experts->emplace_back();
    for (int expert = 0; expert < model.config().num_experts; ++expert) {
      const ExpertTensors tensors = model.checkpoint->Expert(layer, expert);
      auto packed = model.backend->PackExpert(tensors.w1, tensors.w3, tensors.w2);
      if (!packed.ok()) return packed.status();
      model.local_experts->back().push_back(packed->get());
      model.packed_experts.push_back(*std::move(packed));
    }
  }
  return absl::OkStatus();
}

}  // namespace

Placement EvenPlacement(const MixtralConfig& config, int num_workers) {
  Placement placement;
  for (int worker = 0; worker < num_workers; ++worker) {
    const int first = worker * config.num_experts / num_workers;
    const int end = (worker + 1) * config.num_experts / num_workers;
    placement.push_back(first < end ? ExpertsOfEveryLayer(config, first, end - 1)
                                    : std::vector<ExpertWorkerDescription::Hosted>{});
  }
  return placement;
}

void RoutingCounter::OnRouted(int layer, std::span<const int64_t> tokens_per_expert) {
  if (expert_tokens.size() <= static_cast<size_t>(layer)) expert_tokens.resize(layer + 1);
  std::vector<int64_t>& counts = expert_tokens[layer];
  counts.resize(tokens_per_expert.size());
  for (size_t i = 0; i < counts.size(); ++i) counts[i] += tokens_per_expert[i];
}

void RoutingCounter::OnHop(std::string_view /*worker_address*/, int /*layer*/,
                           const absl::Status& status, const HopTiming& /*timing*/) {
  hops.push_back(status);
}

void RoutingCounter::OnRetry(std::string_view /*worker_address*/, int /*layer*/,
                             std::string_view reason) {
  retries.emplace_back(reason);
  retried_ = true;
  retried_.notify_all();
}

void RoutingCounter::OnSetAside(std::string_view worker_address, const absl::Status& /*reason*/) {
  set_aside.emplace_back(worker_address);
}

void RoutingCounter::OnHedge(std::string_view /*worker_address*/, int /*layer*/) { ++hedges; }

void RoutingCounter::OnLateAnswers(int64_t count) { late_answers += count; }

void RoutingCounter::OnExpertWaitBegin(int /*layer*/) {
  ++expert_waits;
  ++running_expert_waits;
}

void RoutingCounter::OnExpertWaitEnd(int /*layer*/, absl::Duration /*waited*/) {
  --running_expert_waits;
}

void RoutingCounter::OnExpertWaitInterrupted(int /*layer*/) {
  --running_expert_waits;
  ++interrupted_expert_waits;
}

void RoutingCounter::OnStall(int /*layer*/, absl::Duration /*stall*/) { ++stalls; }

void RoutingCounter::OnStep(int64_t num_rows, absl::Duration /*total*/,
                            absl::Duration /*expert_wait*/) {
  steps.push_back(num_rows);
}

absl::StatusOr<ModelUnderTest> LoadModel(const std::string& directory,
                                         const ModelOptions& options) {
  ModelUnderTest model;
  auto checkpoint = Checkpoint::Open(directory);
  if (!checkpoint.ok()) return checkpoint.status();
  model.checkpoint = *std::move(checkpoint);
  auto backend = MakeBackend(options);
  if (!backend.ok()) return backend.status();
  model.backend = *std::move(backend);
  auto expert_backend = MakeBackend(options);
  if (!expert_backend.ok()) return expert_backend.status();
  auto weights = FakeExpertWeights::Load(model.checkpoint, *std::move(expert_backend));
  if (!weights.ok()) return weights.status();

  const Placement placement = options.placement != nullptr ? options.placement(model.config())
                                                           : EvenPlacement(model.config(), 1);
  for (size_t i = 0; i < placement.size(); ++i) {
    model.clients.push_back(std::make_shared<FakeExpertClient>(
        absl::StrCat("fake-", i), *weights, placement[i], options.max_batch_rows));
  }
  model.directory = std::make_unique<FakeExpertDirectory>(model.config(), model.clients);
  model.observer = std::make_unique<RoutingCounter>();
  AttentionWorkerOptions attention = options.attention;
  if (options.local_experts) {
    const absl::Status packed = PackLocalExperts(model);
    if (!packed.ok()) return packed;
    attention.local_experts = model.local_experts.get();
  }
  auto worker = AttentionWorker::Create(model.checkpoint, model.backend.get(),
                                        model.directory.get(), model.observer.get(), attention);
  if (!worker.ok()) return worker.status();
  model.worker = *std::move(worker);
  return model;
}

std::string CheckpointDirectory(const std::string& name) {
  return name == "demo" ? TRAMONTANE_SOURCE_DIR "/deploy/demo_model" : GoldenDirectory(name);
}

std::string GoldenDirectory(const std::string& name) {
  return absl::StrCat(TRAMONTANE_SOURCE_DIR "/tests/golden/", name);
}

}  // namespace tramontane
