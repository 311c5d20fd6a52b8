#include "expert_worker/grpc/expert_service.h"

#include <grpc/grpc.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "proto/serving/unary_call.h"
#include "proto/wire/transport.h"

namespace tramontane {
namespace {

v1::RowFormat RowFormatOf(DType dtype) {
  return dtype == DType::kBF16 ? v1::ROW_FORMAT_BF16 : v1::ROW_FORMAT_F32;
}

// The set as ranges: runs of experts within a layer, joined over layers that have the same runs.
void DescribeExperts(const ExpertSet& set, v1::DescribeResponse* response) {
  std::vector<v1::ExpertRange> last_layer;
  for (int layer = 0; layer < set.num_layers(); ++layer) {
    std::vector<std::pair<int, int>> runs;
    for (int expert = 0; expert < set.num_experts(); ++expert) {
      if (!set.Contains(layer, expert)) continue;
      if (!runs.empty() && runs.back().second == expert - 1) {
        runs.back().second = expert;
      } else {
        runs.emplace_back(expert, expert);
      }
    }
    const bool same = std::equal(runs.begin(), runs.end(), last_layer.begin(), last_layer.end(),
                                 [](const std::pair<int, int>& run, const v1::ExpertRange& range) {
                                   return run.first == static_cast<int>(range.first_expert()) &&
                                          run.second == static_cast<int>(range.last_expert());
                                 });
    if (!same) {
      for (const v1::ExpertRange& range : last_layer) *response->add_experts() = range;
      last_layer.clear();
      for (const auto& [first, last] : runs) {
        v1::ExpertRange& range = last_layer.emplace_back();
        range.set_first_layer(layer);
        range.set_first_expert(first);
        range.set_last_expert(last);
      }
    }
    for (v1::ExpertRange& range : last_layer) range.set_last_layer(layer);
  }
  for (const v1::ExpertRange& range : last_layer) *response->add_experts() = range;
}

}  // namespace

int MaxExpertMessageBytes(const HostedExperts& experts, const ExpertExecutorOptions& options) {
  const int64_t row_bytes = int64_t{experts.config().hidden_size} *
                            static_cast<int64_t>(DTypeSize(experts.backend()->compute_dtype()));
  // Beside a row: its index, and at worst an expert and a count of its own, 5 bytes each.
  const int64_t bytes = int64_t{options.max_batch_rows} * (row_bytes + 15) + (int64_t{1} << 20);
  return static_cast<int>(std::min<int64_t>(bytes, std::numeric_limits<int>::max()));
}

void ConfigureExpertServer(grpc::ServerBuilder& builder) {
  builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kStreamWindowBytes);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, kMaxFrameBytes);
  builder.AddChannelArgument(GRPC_ARG_TCP_READ_CHUNK_SIZE, kLeastReadBytes);
  builder.AddChannelArgument(GRPC_ARG_TCP_MIN_READ_CHUNK_SIZE, kLeastReadBytes);
}

ExpertService::ExpertService(const HostedExperts* experts, ExpertExecutor* executor,
                             const ExpertExecutorOptions& options)
    : experts_(experts), executor_(executor), options_(options) {}

std::vector<LoopMethod> ExpertService::Methods() {
  const std::string service = absl::StrCat("/", v1::ExpertWorker::service_full_name());
  return {UnaryMethod<v1::DescribeRequest, v1::DescribeResponse>(
              service + "/Describe", [this](const v1::DescribeRequest&) { return Describe(); }),
          {service + "/Execute", [this](grpc::ServerContext*) { return Execute(); }}};
}

v1::DescribeResponse ExpertService::Describe() {
  const MixtralConfig& config = experts_->config();
  v1::DescribeResponse response;
  response.set_digest(experts_->checkpoint().digest());
  response.set_row_format(RowFormatOf(experts_->backend()->compute_dtype()));
  response.set_backend(std::string(experts_->backend()->name()));
  DescribeExperts(experts_->set(), &response);
  response.set_num_layers(config.num_layers);
  response.set_num_experts(config.num_experts);
  response.set_hidden_size(config.hidden_size);
  response.set_intermediate_size(config.intermediate_size);
  response.set_max_batch_rows(options_.max_batch_rows);
  response.set_max_queued_batches(options_.max_queued_batches);
  const std::lock_guard<std::mutex> lock(mutex_);
  response.set_draining(draining_);
  return response;
}

CallReactor* ExpertService::Execute() {
  ExecuteStreamOptions stream_options;
  stream_options.limits.hidden_size = experts_->config().hidden_size;
  stream_options.limits.max_pairs = static_cast<size_t>(options_.max_batch_rows);
  stream_options.limits.max_groups = static_cast<size_t>(options_.max_batch_rows);
  stream_options.max_outstanding_batches = 2 * options_.max_queued_batches;
  stream_options.max_held_bytes = options_.max_stream_bytes;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stream_options.stream = ++num_streams_;
  }
  const std::shared_ptr<ExecuteStream> stream =
      ExecuteStream::Start(executor_, stream_options, [this](ExecuteStream* done) {
        const std::lock_guard<std::mutex> lock(mutex_);
        streams_.erase(done);
        stream_ended_.notify_all();  // under the lock: Drain's caller may destroy the service
      });
  bool draining = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    draining = draining_;
    streams_[stream.get()] = stream;
  }
  if (draining) stream->StartDraining();
  return stream.get();
}

std::vector<std::shared_ptr<ExecuteStream>> ExpertService::streams() {
  std::vector<std::shared_ptr<ExecuteStream>> streams;
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const auto& [pointer, weak] : streams_) {
    if (std::shared_ptr<ExecuteStream> stream = weak.lock()) streams.push_back(std::move(stream));
  }
  return streams;
}

void ExpertService::Drain(absl::Time deadline, absl::Duration farewell) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    draining_ = true;
  }
  for (const std::shared_ptr<ExecuteStream>& stream : streams()) stream->AnnounceDraining();
  {
    const absl::Duration patience = std::min(farewell, deadline - absl::Now());
    std::unique_lock<std::mutex> lock(mutex_);
    stream_ended_.wait_for(lock, absl::ToChronoMicroseconds(patience),
                           [this] { return streams_.empty(); });
  }
  executor_->Drain(deadline);
  for (const std::shared_ptr<ExecuteStream>& stream : streams()) stream->StartDraining();
}

}  // namespace tramontane
