#include "coordinator/capacity/process_memory.h"

#include <algorithm>
#include <bit>

#include "attention_worker/activations.h"
#include "attention_worker/attention_weights.h"
#include "attention_worker/expert_dispatcher.h"
#include "attention_worker/kv_cache/kv_block_pool.h"
#include "attention_worker/kv_cache/kv_cache.h"
#include "attention_worker/token_chooser.h"
#include "expert_worker/expert_executor.h"
#include "kernels/cpu/memory_size.h"

namespace tramontane {
namespace {

constexpr int64_t kKiB = 1024;
constexpr int64_t kMiB = 1024 * kKiB;

// Measured, with room for gRPC's buffers under load (docs/capacity.md): code and libraries 17 to 20
// MiB, threads, channels and metrics 2 to 12 MiB.
constexpr int64_t kProcessBytes = 48 * kMiB;
// A stream, its queue of answers and its sequence; and for each token of its context the id, in
// scheduler, sequence and message, and the text.
constexpr int64_t kRequestBytes = 64 * kKiB;
constexpr int64_t kRequestTokenBytes = 16;
// A piece, its score and its place in SentencePiece's tries.
constexpr int64_t kTokenizerPieceBytes = 256;
// While the longest text that the context could hold is tokenized, of which there is one at a time:
// 170 bytes (measured) for each of up to 48 bytes a token.
constexpr int64_t kTokenizedTokenBytes = 8 * kKiB;

int64_t Threads(int stated) { return stated > 0 ? stated : kUnknownThreads; }

int64_t ContextTokens(const CapacityRequest& request) {
  return request.context_tokens > 0 ? request.context_tokens
                                    : request.model.max_position_embeddings;
}

// Rows of a step to one expert each.
int64_t RowBytes(const CapacityRequest& request) {
  return int64_t{request.model.hidden_size} *
         static_cast<int64_t>(DTypeSize(request.compute_dtype));
}

int64_t PowerOfTwo(int64_t bytes) {
  return static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(bytes)));
}

MemoryItem ScratchOfAttention(const CapacityRequest& request) {
  const MixtralConfig& model = request.model;
  const int64_t threads = Threads(request.attention_threads);
  const int64_t group_size = model.num_heads / model.num_kv_heads;
  const int64_t kernels =
      std::max(cpu::GemmScratchBytes(threads),
               cpu::AttentionScratchBytes(threads, std::max(cpu::kMaxAttendQueries, group_size),
                                          model.head_dim));
  // Cosines and sines of a step's positions.
  const int64_t rotary = int64_t{request.max_step_tokens} * (model.head_dim * 4 + 16);
  return {kScratchItem, kernels + rotary + threads * TokenChooser::ScratchBytes(model.vocab_size)};
}

void AddRequests(const CapacityRequest& request, int64_t users, ProcessMemory* memory) {
  memory->items.push_back(
      {kRequestsItem, (users + request.max_waiting_requests) *
                          (kRequestBytes + ContextTokens(request) * kRequestTokenBytes)});
  memory->items.push_back(
      {kTokenizerItem, int64_t{request.model.vocab_size} * kTokenizerPieceBytes +
                           int64_t{request.model.max_position_embeddings} * kTokenizedTokenBytes});
}

}  // namespace

int64_t ProcessMemory::total() const {
  int64_t bytes = 0;
  for (const MemoryItem& item : items) bytes += item.bytes;
  return bytes;
}

int64_t ProcessMemory::Bytes(std::string_view name) const {
  for (const MemoryItem& item : items) {
    if (item.name == name) return item.bytes;
  }
  return 0;
}

ProcessMemory ExpertWorkerMemory(const CapacityRequest& request, const ExpertBlock& block,
                                 int64_t num_attention) {
  const MixtralConfig& model = request.model;
  const ExpertExecutorOptions executor;  // whose defaults the process has
  const int64_t weights =
      int64_t{block.num_layers} * block.num_experts *
      cpu::PackedExpertBytes(model.hidden_size, model.intermediate_size, request.compute_dtype);

  // Each attention process has one step on its way, here with so many (row, expert) pairs.
  const int64_t pairs = int64_t{request.max_step_tokens} * std::min(model.top_k, block.num_experts);
  const int64_t received = num_attention * request.max_step_tokens * RowBytes(request);
  const int64_t answers = num_attention * PowerOfTwo(pairs * RowBytes(request));
  const int64_t idle_answers =
      std::min(static_cast<int64_t>(executor.max_idle_answer_bytes), answers);
  // Rows of several tasks for one expert are computed side by side, then copied to their answers.
  const int64_t merged_pairs =
      std::max(pairs, std::min<int64_t>(num_attention * pairs, executor.max_merged_rows));
  const int64_t gathered =
      num_attention > 1 ? PowerOfTwo(merged_pairs * RowBytes(request)) : int64_t{0};

  const int64_t scratch =
      cpu::GemmScratchBytes(Threads(request.expert_threads)) +
      std::min(merged_pairs, cpu::kMaxActivatedRows) *
          cpu::ActivatedRowBytes(model.intermediate_size, request.compute_dtype);
  return {{{kWeightsItem, weights},
           {kBatchesItem, received + answers + idle_answers + gathered},
           {kScratchItem, scratch},
           {kProcessItem, kProcessBytes}}};
}

ProcessMemory AttentionMemory(const CapacityRequest& request, int64_t kv_cache_tokens,
                              int64_t users, bool is_coordinator) {
  const MixtralConfig& model = request.model;
  const DType dtype = request.compute_dtype;
  const int64_t num_blocks = KvBlocksFor(kv_cache_tokens, request.kv_block_size);
  const int64_t kv_cache = num_blocks * request.kv_block_size * KvBytesPerToken(model, dtype) +
                           KvBlockPool::ApproximateBytes(num_blocks, request.kv_block_size);
  // Sent rows, and as many answers, as received and side by side.
  const auto rows = static_cast<int64_t>(
      ExpertDispatcher::MaxRowBufferBytes(model, dtype, request.max_step_tokens));
  const int64_t embedding = int64_t{model.vocab_size} * model.hidden_size *
                            static_cast<int64_t>(DTypeSize(model.dtype.value_or(DType::kF32)));
  ProcessMemory memory{
      {{kWeightsItem, AttentionWeights::PackedBytes(model, dtype)},
       {kKvCacheItem, kv_cache},
       {kActivationsItem, ActivationBytes(model, dtype, request.max_step_tokens)},
       {kBatchesItem, 2 * rows},
       {kScratchItem, ScratchOfAttention(request).bytes},
       {kProbeItem, cpu::PackedExpertBytes(model.hidden_size, model.intermediate_size, dtype)},
       {kEmbeddingItem, embedding}}};
  if (is_coordinator) AddRequests(request, users, &memory);
  memory.items.push_back({kProcessItem, kProcessBytes});
  return memory;
}

ProcessMemory CoordinatorMemory(const CapacityRequest& request) {
  ProcessMemory memory;
  AddRequests(request, request.users, &memory);
  memory.items.push_back({kProcessItem, kProcessBytes});
  return memory;
}

}  // namespace tramontane
