// A peer that sends batches and does not read the answers.
#include <grpcpp/create_channel.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "expert_worker/grpc/expert_service.h"
#include "tests/expert_worker/one_row_batch.h"
#include "tests/expert_worker/worker_server.h"

namespace tramontane {
namespace {

constexpr size_t kRowBytes = kHiddenSize * sizeof(float);
constexpr int kWindowBytes = 64 * 1024;

using ClientStream = grpc::ClientReaderWriter<v1::ExpertBatch, v1::ExpertResult>;

// A peer that takes in no more than a window of what it does not read.
std::unique_ptr<v1::ExpertWorker::Stub> NewStub(const WorkerServer& server) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // a connection of its own
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kWindowBytes);
  return v1::ExpertWorker::NewStub(
      grpc::CreateCustomChannel(server.address(), grpc::InsecureChannelCredentials(), arguments));
}

TEST(UnreadAnswersTest, HoldBoundedMemoryOfAStreamAndKeepNobodyOut) {
  constexpr int kBatches = 120;
  constexpr int kPairs = 128;
  constexpr size_t kAnswerBytes = kPairs * kRowBytes;
  ExpertExecutorOptions options;
  options.max_queued_batches = 128;
  options.max_merged_rows = 1;  // merged batches need memory beside that of their answers
  options.max_stream_bytes = 4 * kAnswerBytes;
  WorkerServer server(DType::kF32, options);
  const auto stub = NewStub(server);
  grpc::ClientContext context;
  const std::unique_ptr<ClientStream> stream = stub->Execute(&context);
  // Flow control may hold it back before it has sent them all.
  std::thread peer([&stream] {
    for (uint64_t id = 1; id <= kBatches; ++id) {
      if (!stream->Write(OneRowBatch(id, kPairs))) return;
    }
  });
  while (server.executor().lent_answer_bytes() < 2 * kAnswerBytes) std::this_thread::yield();
  const auto other_stub = NewStub(server);
  grpc::ClientContext other_context;
  const std::unique_ptr<ClientStream> other = other_stub->Execute(&other_context);
  size_t most_bytes = 0;
  for (uint64_t id = 1; id <= kBatches; ++id) {
    EXPECT_TRUE(other->Write(OneRowBatch(id, 1)));
    v1::ExpertResult result;
    EXPECT_TRUE(other->Read(&result));
    EXPECT_EQ(result.rows().size(), kRowBytes);
    most_bytes = std::max(most_bytes, server.executor().lent_answer_bytes());
  }
  // Beside those that count: the batch that came last, the other stream's, and what gRPC has taken
  // to write, a window and the rest of an answer.
  EXPECT_LE(most_bytes, options.max_stream_bytes + 3 * kAnswerBytes + kWindowBytes);
  context.TryCancel();
  peer.join();
}

}  // namespace
}  // namespace tramontane
