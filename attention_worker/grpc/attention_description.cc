#include "attention_worker/grpc/attention_description.h"

#include <grpcpp/client_context.h>

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "proto/attention.grpc.pb.h"
#include "proto/wire/status.h"

namespace tramontane {
namespace {

absl::Status Mismatch(const std::string& address, absl::string_view what,
                      const absl::AlphaNum& expected, const absl::AlphaNum& found,
                      absl::string_view remedy) {
  return absl::FailedPreconditionError(absl::StrCat("attention worker ", address, ": ", what,
                                                    ": expected ", expected.Piece(), ", found ",
                                                    found.Piece(), "; ", remedy));
}

struct Size {
  const char* name;
  int expected;
  uint32_t found;
};

}  // namespace

absl::StatusOr<v1::DescribeAttentionWorkerResponse> FetchAttentionDescription(
    const std::string& address, const std::shared_ptr<grpc::Channel>& channel,
    absl::Duration timeout) {
  const std::unique_ptr<v1::AttentionWorker::Stub> stub = v1::AttentionWorker::NewStub(channel);
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
  v1::DescribeAttentionWorkerResponse response;
  const grpc::Status status =
      stub->Describe(&context, v1::DescribeAttentionWorkerRequest(), &response);
  if (status.ok()) return response;
  return absl::UnavailableError(
      absl::StrCat("attention worker ", address, " did not answer Describe within ",
                   absl::FormatDuration(timeout), ": ", FromGrpcStatus(status).ToString()));
}

absl::Status CheckAttentionDescription(const std::string& address,
                                       const v1::DescribeAttentionWorkerResponse& description,
                                       const AttentionWorkerExpectation& expected) {
  constexpr char kSameModel[] = "start it with the coordinator's --model";
  constexpr char kSameCompute[] = "start both with the same --compute";
  if (description.compute_dtype() != expected.compute_dtype) {
    return Mismatch(address, "compute dtype", expected.compute_dtype, description.compute_dtype(),
                    kSameCompute);
  }
  if (description.weight_format() != expected.compute_dtype) {
    return Mismatch(address, "weight format", expected.compute_dtype, description.weight_format(),
                    kSameCompute);
  }
  const MixtralConfig& config = expected.config;
  for (const Size& size :
       {Size{"num_layers", config.num_layers, description.num_layers()},
        Size{"hidden_size", config.hidden_size, description.hidden_size()},
        Size{"intermediate_size", config.intermediate_size, description.intermediate_size()},
        Size{"num_heads", config.num_heads, description.num_heads()},
        Size{"num_kv_heads", config.num_kv_heads, description.num_kv_heads()},
        Size{"head_dim", config.head_dim, description.head_dim()},
        Size{"num_experts", config.num_experts, description.num_experts()},
        Size{"top_k", config.top_k, description.top_k()},
        Size{"vocab_size", config.vocab_size, description.vocab_size()},
        Size{"context_length", config.max_position_embeddings, description.context_length()}}) {
    if (static_cast<uint32_t>(size.expected) != size.found) {
      return Mismatch(address, size.name, size.expected, size.found, kSameModel);
    }
  }
  if (description.digest() != expected.digest) {
    return Mismatch(address, "checkpoint digest", expected.digest, description.digest(),
                    kSameModel);
  }
  if (description.kv_block_size() != static_cast<uint32_t>(expected.kv_block_size)) {
    return Mismatch(address, "KV block size", expected.kv_block_size, description.kv_block_size(),
                    "start both with the same --kv_block_size");
  }
  if (description.max_step_tokens() < static_cast<uint32_t>(expected.min_step_tokens)) {
    return Mismatch(address, "max_step_tokens", absl::StrCat("at least ", expected.min_step_tokens),
                    description.max_step_tokens(),
                    "start it with the coordinator's --max_step_tokens or more");
  }
  if (description.state().draining()) {
    return absl::UnavailableError(absl::StrCat("attention worker ", address, " is shutting down"));
  }
  return absl::OkStatus();
}

}  // namespace tramontane
