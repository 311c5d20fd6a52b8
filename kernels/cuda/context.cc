#include "kernels/cuda/context.h"

#include <algorithm>
#include <cstdlib>

#include "kernels/round_up.h"

namespace tramontane::cuda {
namespace {

// Calls of the first piece after a Finish, as many as a layer without its experts has: the device
// starts early, and the segment between two hops is one graph. Later pieces come while it works.
constexpr size_t kFirstPiece = 16;
constexpr size_t kPiece = 64;

}  // namespace

Context::Context(const ContextOptions& options, cudaStream_t stream)
    : device(options.device),
      compute_dtype(options.compute_dtype),
      max_rows(options.max_rows),
      max_partial_bytes(options.max_partial_bytes),
      staging_bytes(options.staging_bytes),
      warpgroups(options.warpgroups),
      num_multiprocessors(options.num_multiprocessors),
      early_starts_(options.early_starts),
      stream_(stream),
      graphs_(options.graphs ? std::make_unique<Graphs>(options.max_graphs, options.early_starts)
                             : nullptr) {}

Context::~Context() {
  Use();
  (void)cudaStreamSynchronize(stream_);
  ReleaseBlocks(blocks_.size());
  (void)cudaStreamDestroy(stream_);
}

void Context::Check(cudaError_t error, const char* call) {
  if (error == cudaSuccess || failed()) return;
  error_ = error;
  failed_call_ = call;
}

// With an early start a kernel may start once every block of threads of the one ahead has called
// LetNextStart: what a start takes, and the first weights, come while that one still computes. The
// order of the stream holds none the less. Every thread of every kernel calls AwaitPrevious, which
// returns when all of the kernel ahead has ended and its writes are seen, and does nothing before
// that another operation could notice. So a kernel ends after the one ahead of it, that one after
// the one ahead of it, and so on; copies, events, graphs and the host await a kernel's end, as
// ever.
//
// Two things may be read before AwaitPrevious: what copies alone write, as a batch's plan, and
// weights, which are written by kernels that an event is recorded behind (weight_stream.cc). A
// kernel behind a copy or an event goes without one, so that it, and all that follow, start when
// those are there; copies themselves await all that is ahead. So it is within a graph; the first
// kernel of one awaits what is ahead of the graph.
void Context::Queue(const KernelCall& call) {
  if (failed()) return;
  if (graphs_ == nullptr) {
    Check(LaunchKernel(call, early_starts_ && behind_kernel_, stream_), call.name);
    behind_kernel_ = true;
    return;
  }
  list_.AddKernel(call);
  SubmitPiece();
}

void Context::QueueCopy(const char* name, void* to, const void* from, size_t num_bytes) {
  if (failed()) return;
  behind_kernel_ = false;
  if (graphs_ == nullptr) {
    Check(cudaMemcpyAsync(to, from, num_bytes, cudaMemcpyDefault, stream_), name);
    return;
  }
  list_.AddCopy(name, to, from, num_bytes);
  SubmitPiece();
}

void Context::Record(cudaEvent_t event) {
  Submit();
  behind_kernel_ = false;
  Check(cudaEventRecord(event, stream_), "recording an event");
}

void Context::Wait() {
  Submit();
  Check(cudaStreamSynchronize(stream_), "running queued operations");
  behind_kernel_ = false;  // what the host writes next is read by what comes next
}

void Context::SubmitPiece() {
  if (list_.size() >= (submitted_ ? kPiece : kFirstPiece)) Submit();
}

void Context::Submit() {
  if (list_.size() == 0) return;
  if (!failed()) {
    submitted_ = true;
    if (const auto launched = graphs_->Launch(list_, stream_)) {
      Check(*launched, "launching a graph");
    } else {
      const char* name = "";
      const cudaError_t error = list_.LaunchEach(stream_, early_starts_, &name);
      Check(error, name);
    }
  }
  list_.Clear();
}

std::byte* Context::Stage(int64_t num_bytes) {
  const int64_t size = RoundUp(num_bytes, 16);
  if (blocks_.empty() || blocks_.back().size - used_ < size) {
    const int64_t next = blocks_.empty() ? staging_bytes : 2 * blocks_.back().size;
    Block block = {nullptr, std::max(next, size), true};
    void* bytes = nullptr;
    Check(cudaHostAlloc(&bytes, static_cast<size_t>(block.size),
                        cudaHostAllocMapped | cudaHostAllocPortable),
          "allocating pinned memory for staging");
    if (bytes == nullptr) {
      // Nothing is queued any more; callers may still write here.
      block.pinned = false;
      bytes = std::malloc(static_cast<size_t>(block.size));
      if (bytes == nullptr) std::abort();
    }
    block.bytes = static_cast<std::byte*>(bytes);
    blocks_.push_back(block);
    used_ = 0;
  }
  std::byte* staged = blocks_.back().bytes + used_;
  used_ += size;
  return staged;
}

void Context::Finish() {
  Wait();
  submitted_ = false;
  used_ = 0;
  // The last block, at least as large as all others, serves alone from now on.
  if (blocks_.size() > 1) ReleaseBlocks(blocks_.size() - 1);
}

void Context::ReleaseBlocks(size_t count) {
  for (size_t i = 0; i < count; ++i) {
    if (blocks_[i].pinned) {
      (void)cudaFreeHost(blocks_[i].bytes);
    } else {
      std::free(blocks_[i].bytes);
    }
  }
  blocks_.erase(blocks_.begin(), blocks_.begin() + static_cast<std::ptrdiff_t>(count));
}

}  // namespace tramontane::cuda
