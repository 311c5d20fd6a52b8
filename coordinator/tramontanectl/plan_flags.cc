#include "proto/serving/abseil_flag_types.h"

#include "coordinator/tramontanectl/plan_flags.h"

#include <cstdint>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "coordinator/tramontanectl/memory_size.h"
#include "kernels/create_backend.h"

ABSL_FLAG(std::string, model, "",
          "plan: a checkpoint's directory, or a config.json; the weights need not be there.");
ABSL_FLAG(std::string, compute, "bf16", "plan: format of weights, keys and values: bf16 or f32.");
ABSL_FLAG(int64_t, context, 0,
          "plan: tokens of each user, prompt and completion; 0: the model's whole context.");
ABSL_FLAG(int64_t, users, 0, "plan: requests that run at once.");
ABSL_FLAG(std::string, expert_memory, "",
          "plan: memory that one expert worker may take, such as 24GiB.");
ABSL_FLAG(std::string, attention_memory, "",
          "plan: memory that the process which runs attention may take; empty: --expert_memory.");
ABSL_FLAG(int, headroom_percent, 10, "plan: per cent of either memory that stay free.");
ABSL_FLAG(int, replicas, 2,
          "plan: workers with each expert; with 2 one may be lost and no request fails.");
ABSL_FLAG(int, experts_per_shard, 0, "plan: most experts of a layer in one worker; 0: any number.");
ABSL_FLAG(int, max_expert_workers, 0, "plan: most expert workers; 0: any number.");
ABSL_FLAG(bool, split_layers, true,
          "plan: divide the layers, too, where no worker holds one expert of all of them.");
ABSL_FLAG(std::string, attention, "auto",
          "plan: where attention runs: coordinator, workers, or auto: in the coordinator where its "
          "memory holds all users.");
ABSL_FLAG(int, spare_attention_workers, 0,
          "plan: attention workers beyond those that the users need.");
ABSL_FLAG(int, expert_cores, 0, "plan: processors of an expert worker; 0: not known.");
ABSL_FLAG(int, attention_cores, 0,
          "plan: processors of a process that runs attention; 0: not known.");
ABSL_FLAG(int, expert_gpus, 0,
          "plan: GPUs of an expert worker, as the values are to ask for them.");
ABSL_FLAG(int, kv_block_size, 16, "plan: --kv_block_size of the processes.");
ABSL_FLAG(int, max_step_tokens, 512, "plan: --max_step_tokens of the processes.");
ABSL_FLAG(int, max_waiting_requests, 256, "plan: --max_waiting_requests of the coordinator.");
ABSL_FLAG(double, expert_bandwidth, 0,
          "plan: 10^9 bytes a second that an expert worker reads from its memory, measured; 0: no "
          "bound of the speed is shown.");
ABSL_FLAG(double, attention_bandwidth, 0,
          "plan: the same of a process that runs attention; 0: --expert_bandwidth.");
ABSL_FLAG(double, tokens_per_s, 0,
          "plan: tokens a second of all users that the bound must allow; needs "
          "--expert_bandwidth; 0: any.");
ABSL_FLAG(std::string, values_out, "",
          "plan: file for the values of the Helm chart; \"-\" for standard output, in place of the "
          "table.");

namespace tramontane {
namespace {

absl::StatusOr<AttentionPlace> Place() {
  const std::string place = absl::GetFlag(FLAGS_attention);
  if (place == "auto") return AttentionPlace::kAuto;
  if (place == "coordinator") return AttentionPlace::kCoordinator;
  if (place == "workers") return AttentionPlace::kWorkers;
  return absl::InvalidArgumentError(
      absl::StrCat("--attention=", place, ": expected auto, coordinator or workers"));
}

absl::Status ReadMemory(CapacityRequest* request) {
  const std::string expert = absl::GetFlag(FLAGS_expert_memory);
  const std::string attention = absl::GetFlag(FLAGS_attention_memory);
  if (expert.empty()) {
    return absl::InvalidArgumentError("--expert_memory=SIZE is missing, such as 24GiB; see --help");
  }
  const absl::StatusOr<int64_t> expert_bytes = ParseMemorySize(expert, "expert_memory");
  if (!expert_bytes.ok()) return expert_bytes.status();
  request->expert_memory_bytes = *expert_bytes;
  request->attention_memory_bytes = *expert_bytes;
  if (attention.empty()) return absl::OkStatus();
  const absl::StatusOr<int64_t> attention_bytes = ParseMemorySize(attention, "attention_memory");
  if (!attention_bytes.ok()) return attention_bytes.status();
  request->attention_memory_bytes = *attention_bytes;
  return absl::OkStatus();
}

absl::Status ReadSpeed(PlanFlags* flags) {
  const double expert = absl::GetFlag(FLAGS_expert_bandwidth);
  const double attention = absl::GetFlag(FLAGS_attention_bandwidth);
  flags->tokens_per_s = absl::GetFlag(FLAGS_tokens_per_s);
  if (!(expert >= 0 && expert < 1e9) || !(attention >= 0 && attention < 1e9) ||
      !(flags->tokens_per_s >= 0)) {
    return absl::InvalidArgumentError(
        "--expert_bandwidth, --attention_bandwidth and --tokens_per_s: expected 0 or more");
  }
  if (expert == 0 && (attention > 0 || flags->tokens_per_s > 0)) {
    return absl::InvalidArgumentError(
        "--attention_bandwidth and --tokens_per_s: expected --expert_bandwidth beside them");
  }
  flags->bandwidth.expert_worker = expert * 1e9;
  flags->bandwidth.attention = (attention > 0 ? attention : expert) * 1e9;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<PlanFlags> PlanFromFlags() {
  PlanFlags flags;
  flags.model = absl::GetFlag(FLAGS_model);
  flags.values_out = absl::GetFlag(FLAGS_values_out);
  if (flags.model.empty()) {
    return absl::InvalidArgumentError(
        "--model=DIR is missing, a checkpoint's directory or a config.json; see --help");
  }
  CapacityRequest& request = flags.request;
  const absl::StatusOr<DType> dtype = ParseComputeDType(absl::GetFlag(FLAGS_compute));
  if (!dtype.ok()) return dtype.status();
  request.compute_dtype = *dtype;
  const absl::StatusOr<AttentionPlace> place = Place();
  if (!place.ok()) return place.status();
  request.attention = *place;
  absl::Status read = ReadMemory(&request);
  if (read.ok()) read = ReadSpeed(&flags);
  if (!read.ok()) return read;

  request.context_tokens = absl::GetFlag(FLAGS_context);
  request.users = absl::GetFlag(FLAGS_users);
  request.headroom_percent = absl::GetFlag(FLAGS_headroom_percent);
  request.replicas = absl::GetFlag(FLAGS_replicas);
  request.max_experts_per_shard = absl::GetFlag(FLAGS_experts_per_shard);
  request.max_expert_workers = absl::GetFlag(FLAGS_max_expert_workers);
  request.split_layers = absl::GetFlag(FLAGS_split_layers);
  request.spare_attention_workers = absl::GetFlag(FLAGS_spare_attention_workers);
  request.expert_gpus = absl::GetFlag(FLAGS_expert_gpus);
  request.expert_threads = absl::GetFlag(FLAGS_expert_cores);
  request.attention_threads = absl::GetFlag(FLAGS_attention_cores);
  request.kv_block_size = absl::GetFlag(FLAGS_kv_block_size);
  request.max_step_tokens = absl::GetFlag(FLAGS_max_step_tokens);
  request.max_waiting_requests = absl::GetFlag(FLAGS_max_waiting_requests);
  return flags;
}

}  // namespace tramontane
