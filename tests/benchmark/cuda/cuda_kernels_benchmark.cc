// cuda_kernels_benchmark [--json=FILE] [--filter=TEXT]: times the CUDA backend's operations, or
// those whose names have TEXT in them, at the sizes of Mixtral 8x7B beside the device's copy
// bandwidth. Exits with 3 where there is no device.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "tests/benchmark/cuda/model_kernels.h"

namespace tramontane {
namespace {

constexpr int64_t kMaxRows = 4096;
constexpr int kExitNoDevice = 3;

struct Measurement {
  std::string name;
  double bytes = 0;  // that one call has to read or write at least
  double flops = 0;
  std::function<void()> queue;
  double seconds = 0;  // of one call
};

// The median of some runs, each of enough calls, queued one after the other, for about 20 ms.
double SecondsOf(Backend* backend, const std::function<void()>& queue) {
  const auto run = [&](int calls) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < calls; ++i) queue();
    if (!backend->Finish().ok()) {
      std::fprintf(stderr, "error: %s\n", std::string(backend->Finish().message()).c_str());
      std::exit(1);
    }
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / calls;
  };
  run(3);
  const int calls = static_cast<int>(std::clamp(0.02 / run(3), 3.0, 2000.0));
  std::vector<double> seconds;
  for (int i = 0; i < 7; ++i) seconds.push_back(run(calls));
  std::nth_element(seconds.begin(), seconds.begin() + 3, seconds.end());
  return seconds[3];
}

void AddMatrices(ModelKernels* model, std::vector<Measurement>& all) {
  using Matrix = ModelKernels::Matrix;
  const std::pair<const char*, Matrix> kMatrices[] = {
      {"qkv", Matrix::kQkv}, {"output", Matrix::kOutput}, {"lm_head", Matrix::kLmHead}};
  for (const auto& [name, matrix] : kMatrices) {
    for (const int64_t rows : {1, 8, 16, 32, 64, 2048}) {
      if (matrix == Matrix::kLmHead && rows > 64) continue;
      const auto weights = static_cast<double>(ModelKernels::Weights(matrix));
      all.push_back({absl::StrFormat("matmul %s, %d rows", name, rows), 2 * weights,
                     2 * weights * static_cast<double>(rows),
                     [=, which = matrix] { model->MatMul(which, rows); }});
    }
  }
}

void AddExperts(ModelKernels* model, std::vector<Measurement>& all) {
  constexpr double kWeights = 3.0 * ModelKernels::kHidden * ModelKernels::kInner;
  const int64_t kBatches[][2] = {{2, 1}, {8, 2}, {8, 8}, {8, 16}, {8, 32}, {8, 128}, {8, 512}};
  for (const auto& [experts, rows] : kBatches) {
    const auto e = static_cast<double>(experts);
    all.push_back({absl::StrFormat("expert_ffn, %d experts of %d rows", experts, rows),
                   2 * kWeights * e, 2 * kWeights * e * static_cast<double>(rows),
                   [=, num = experts, each = rows] { model->ExpertFfn(num, each); }});
  }
  // What a step of one process runs instead: the kernels find their rows in memory.
  for (const int64_t tokens : {1, 8, 64, 2048}) {
    const double touched = std::min<double>(8, 2 * static_cast<double>(tokens));
    all.push_back({absl::StrFormat("routed experts, %d tokens", tokens), 2 * kWeights * touched,
                   4 * kWeights * static_cast<double>(tokens),
                   [=] { model->RoutedExperts(tokens); }});
  }
}

void AddAttention(ModelKernels* model, std::vector<Measurement>& all) {
  constexpr double kBytesOfToken = 2.0 * 2 * ModelKernels::kKvHeads * ModelKernels::kHeadDim;
  const int64_t kDecodes[][2] = {{1, 128}, {1, 1024}, {1, 4096}, {1, 32768}, {8, 2048}, {64, 1024}};
  for (const auto& [sequences, context] : kDecodes) {
    all.push_back({absl::StrFormat("attention, %d rows after %d", sequences, context),
                   kBytesOfToken * static_cast<double>(sequences * context), 0,
                   [=, n = sequences, c = context] { model->PagedAttention(n, 1, c); }});
  }
  for (const int64_t context : {2048, 8192}) {
    // Half of the square that the chunk's rows and its own keys span is visible.
    const double scores = 2048.0 * static_cast<double>(context - 1024);
    all.push_back({absl::StrFormat("attention, chunk of 2048 up to %d", context), 0,
                   4 * scores * ModelKernels::kHeads * ModelKernels::kHeadDim,
                   [=] { model->PagedAttention(1, 2048, context); }});
  }
}

// All that a layer of a prompt queues.
void AddPrefill(ModelKernels* model, std::vector<Measurement>& all) {
  constexpr double kRows = 2048;
  constexpr double kWeights =
      1.0 * ModelKernels::kHidden *
      (ModelKernels::kQkv + ModelKernels::kHidden + 6.0 * ModelKernels::kInner);
  all.push_back({"layer of a prompt of 2048", 0, 2 * kWeights * kRows,
                 [=] { model->PrefillLayer(static_cast<int64_t>(kRows)); }});
}

void AddSmall(ModelKernels* model, std::vector<Measurement>& all) {
  for (const int64_t rows : {1, 64, 2048}) {
    const std::string suffix = absl::StrFormat(", %d rows", rows);
    all.push_back({"rms_norm" + suffix, 0, 0, [=] { model->RmsNorm(rows); }});
    all.push_back({"route_topk" + suffix, 0, 0, [=] { model->RouteTopK(rows); }});
    all.push_back({"combine_experts" + suffix, 0, 0, [=] { model->CombineExperts(rows); }});
    all.push_back({"rope_and_cache" + suffix, 0, 0, [=] { model->RopeAndCache(1, rows, rows); }});
  }
  for (const int64_t rows : {1, 64}) {
    const std::string suffix = absl::StrFormat(", %d rows", rows);
    all.push_back({"sample_tokens" + suffix, 0, 0, [=] { model->SampleTokens(rows, 0, 1.0f); }});
    all.push_back({"sample_tokens, top-k and top-p" + suffix, 0, 0,
                   [=] { model->SampleTokens(rows, 40, 0.9f); }});
  }
}

// Decode steps without their experts: what launches cost beside the kernels, where the host waits
// behind every layer, as for a hop, and where it waits once. `how` says how they are launched.
void AddSegments(const char* how, Backend* backend, ModelKernels* model,
                 std::vector<Measurement>& all) {
  constexpr int kLayers = ModelKernels::kDistinctLayers;
  constexpr double kWeights =
      1.0 * ModelKernels::kHidden * (ModelKernels::kQkv + ModelKernels::kHidden);
  for (const int64_t rows : {1, 8, 32}) {
    for (const bool hops : {true, false}) {
      all.push_back({absl::StrFormat("%d layers of %d rows, %s, %s", kLayers, rows,
                                     hops ? "a wait each" : "one wait", how),
                     2 * kWeights * kLayers, 2 * kWeights * kLayers * static_cast<double>(rows),
                     [=] {
                       for (int layer = 0; layer < kLayers; ++layer) {
                         model->AttentionLayer(rows, /*context=*/512);
                         if (hops) (void)backend->Finish();
                       }
                       (void)backend->Finish();
                     }});
    }
  }
}

std::string Json(double bandwidth, const std::vector<Measurement>& all) {
  std::string json =
      absl::StrFormat("{\n  \"copy_bytes_per_s\": %.4g,\n  \"kernels\": [", bandwidth);
  for (size_t i = 0; i < all.size(); ++i) {
    const Measurement& m = all[i];
    absl::StrAppendFormat(&json,
                          "%s\n    {\"name\": \"%s\", \"seconds\": %.4g, \"bytes_per_s\": %.4g, "
                          "\"of_bandwidth\": %.3f, \"flop_per_s\": %.4g}",
                          i == 0 ? "" : ",", m.name, m.seconds, m.bytes / m.seconds,
                          m.bytes / m.seconds / bandwidth, m.flops / m.seconds);
  }
  return json + "\n  ]\n}\n";
}

// Fills in the seconds of each, and prints them. They may outlive what they have measured.
void Measure(Backend* backend, double bandwidth, const std::string& filter,
             std::vector<Measurement>& all) {
  std::erase_if(all,
                [&](const Measurement& m) { return m.name.find(filter) == std::string::npos; });
  for (Measurement& m : all) {
    m.seconds = SecondsOf(backend, m.queue);
    m.queue = nullptr;
    std::printf("%-40s %9.1f us %7.0f GB/s %5.2f of copy %7.1f TFLOP/s\n", m.name.c_str(),
                m.seconds * 1e6, m.bytes / m.seconds / 1e9, m.bytes / m.seconds / bandwidth,
                m.flops / m.seconds / 1e12);
    std::fflush(stdout);
  }
}

// Segments with graphs, on a backend of their own.
absl::StatusOr<std::vector<Measurement>> MeasureGraphs(double bandwidth,
                                                       const std::string& filter) {
  CudaBackendOptions options;
  options.graphs = true;
  auto backend = CreateCudaBackend(options);
  if (!backend.ok()) return backend.status();
  ModelKernels model(backend->get(), kMaxRows);
  std::vector<Measurement> all;
  AddSegments("graphs", backend->get(), &model, all);
  Measure(backend->get(), bandwidth, filter, all);
  return all;
}

int Main(const std::string& json_file, const std::string& filter) {
  std::vector<Measurement> all;
  double bandwidth = 0;
  {
    auto backend = CreateCudaBackend({});
    if (!backend.ok()) {
      std::fprintf(stderr, "%s\n", std::string(backend.status().message()).c_str());
      return kExitNoDevice;
    }
    ModelKernels model(backend->get(), kMaxRows);
    int64_t copied = 0;
    const double copy_seconds = SecondsOf(backend->get(), [&] { copied = model.CopyHalf(); });
    bandwidth = static_cast<double>(copied) / copy_seconds;
    std::printf("copy bandwidth, read and written: %.0f GB/s\n", bandwidth / 1e9);
    AddExperts(&model, all);
    AddMatrices(&model, all);
    AddAttention(&model, all);
    AddPrefill(&model, all);
    AddSmall(&model, all);
    AddSegments("no graphs", backend->get(), &model, all);
    Measure(backend->get(), bandwidth, filter, all);
  }
  // The memory of the first is free again.
  const auto graphs = MeasureGraphs(bandwidth, filter);
  if (!graphs.ok()) {
    std::fprintf(stderr, "error: %s\n", std::string(graphs.status().message()).c_str());
    return 1;
  }
  all.insert(all.end(), graphs->begin(), graphs->end());
  if (!json_file.empty()) std::ofstream(json_file) << Json(bandwidth, all);
  return 0;
}

}  // namespace
}  // namespace tramontane

int main(int argc, char** argv) {
  std::string json_file, filter;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument.starts_with("--json=")) {
      json_file = argument.substr(7);
    } else if (argument.starts_with("--filter=")) {
      filter = argument.substr(9);
    } else {
      std::fprintf(stderr, "usage: cuda_kernels_benchmark [--json=FILE] [--filter=TEXT]\n");
      return 2;
    }
  }
  return tramontane::Main(json_file, filter);
}
