// What a capacity plan is asked for.
#ifndef TRAMONTANE_COORDINATOR_CAPACITY_CAPACITY_REQUEST_H_
#define TRAMONTANE_COORDINATOR_CAPACITY_CAPACITY_REQUEST_H_

#include <cstdint>

#include "model/config.h"
#include "model/dtype.h"

namespace tramontane {

enum class AttentionPlace {
  kAuto,         // in the coordinator where its memory holds all users, else in workers
  kCoordinator,  // in the coordinator
  kWorkers,      // in processes of its own
};

// Memory is what one process may take: of a machine, of a container or of a device.
struct CapacityRequest {
  MixtralConfig model;
  DType compute_dtype = DType::kBF16;
  int64_t context_tokens = 0;  // prompt and completion of one user; 0: the model's context
  int64_t users = 0;           // requests that run at once

  int64_t expert_memory_bytes = 0;     // of one expert worker
  int64_t attention_memory_bytes = 0;  // of the process that runs attention
  int headroom_percent = 10;           // of either, to stay free

  int replicas = 2;               // workers with each expert
  int max_experts_per_shard = 0;  // 0: as many as fit
  int max_expert_workers = 0;     // 0: as many as are needed
  bool split_layers = true;       // where no worker holds one expert of every layer
  AttentionPlace attention = AttentionPlace::kAuto;
  int spare_attention_workers = 0;  // more than the users need

  int expert_gpus = 0;  // of each expert worker, for the chart's values; no figure depends on it

  // Threads that compute in each process; 0: not known, and scratch memory is counted for
  // kUnknownThreads.
  int expert_threads = 0;
  int attention_threads = 0;
  // Of the processes' flags, those that memory depends on.
  int kv_block_size = 16;
  int max_step_tokens = 512;
  int max_waiting_requests = 256;
};

inline constexpr int kUnknownThreads = 64;

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_CAPACITY_CAPACITY_REQUEST_H_
