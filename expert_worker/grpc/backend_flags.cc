#include "expert_worker/grpc/backend_flags.h"

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

ABSL_FLAG(std::string, compute, "bf16",
          "Format of weights, activations and rows: bf16, or f32 for exact comparisons. The same "
          "for all processes.");
ABSL_FLAG(std::string, device, "cpu",
          "What computes: cpu, or cuda:N with the number of a GPU, in a build with CUDA.");
ABSL_FLAG(
    bool, cuda_graphs, false,
    "With --device=cuda:N: launch what comes again and again as CUDA graphs. It changes no token.");
ABSL_FLAG(int, threads, 0, "Threads that compute; 0: the processors this process may run on.");
ABSL_FLAG(std::string, cpu_isa, "",
          "Kernels to use: avx512_bf16, avx512, avx2 or portable; empty: the widest there is.");

namespace tramontane {

// More than any machine has processors; beyond it the system may have no thread left to give.
constexpr int kMostThreads = 4096;

absl::StatusOr<BackendOptions> BackendFlags() {
  BackendOptions options;
  const absl::StatusOr<DType> compute = ParseComputeDType(absl::GetFlag(FLAGS_compute));
  if (!compute.ok()) return compute.status();
  options.compute_dtype = *compute;
  options.device = absl::GetFlag(FLAGS_device);
  const absl::Status device = ParseDevice(options.device).status();
  if (!device.ok()) return device;
  options.cuda_graphs = absl::GetFlag(FLAGS_cuda_graphs);
  options.num_threads = absl::GetFlag(FLAGS_threads);
  if (options.num_threads < 0 || options.num_threads > kMostThreads) {
    return absl::InvalidArgumentError(
        absl::StrCat("--threads=", options.num_threads, ": expected 0 to ", kMostThreads));
  }
  options.isa = absl::GetFlag(FLAGS_cpu_isa);
  return options;
}

}  // namespace tramontane
