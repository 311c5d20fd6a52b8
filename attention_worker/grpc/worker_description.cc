#include "attention_worker/grpc/worker_description.h"

#include <grpcpp/client_context.h>

#include <cstdint>
#include <limits>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "attention_worker/worker_state.h"
#include "proto/expert.grpc.pb.h"
#include "proto/wire/row_format.h"
#include "proto/wire/status.h"

namespace tramontane {
namespace {

// More (layer, expert) pairs than any model has; a worker that claims more is broken.
constexpr int64_t kMaxExperts = int64_t{1} << 20;

absl::Status Contradiction(const std::string& address, absl::string_view what) {
  return absl::InternalError(
      absl::StrCat("expert worker ", address, ": its answer to Describe is wrong: ", what));
}

bool FitsInt(uint32_t value) {
  return value <= static_cast<uint32_t>(std::numeric_limits<int>::max());
}

absl::Status ReadExperts(const std::string& address, const v1::DescribeResponse& response,
                         ExpertWorkerDescription* description) {
  int64_t count = 0;
  for (const v1::ExpertRange& range : response.experts()) {
    if (range.first_layer() > range.last_layer() || range.last_layer() >= response.num_layers() ||
        range.first_expert() > range.last_expert() ||
        range.last_expert() >= response.num_experts()) {
      return Contradiction(
          address, absl::StrCat("experts ", range.ShortDebugString(), " of ", response.num_layers(),
                                " layers and ", response.num_experts(), " experts"));
    }
    count += (int64_t{range.last_layer()} - range.first_layer() + 1) *
             (int64_t{range.last_expert()} - range.first_expert() + 1);
    if (count > kMaxExperts) return Contradiction(address, "it names too many experts");
    for (uint32_t layer = range.first_layer(); layer <= range.last_layer(); ++layer) {
      for (uint32_t expert = range.first_expert(); expert <= range.last_expert(); ++expert) {
        description->experts.push_back({static_cast<int>(layer), static_cast<int>(expert)});
      }
    }
  }
  return absl::OkStatus();
}

absl::Status Mismatch(const std::string& address, absl::string_view what,
                      const absl::AlphaNum& expected, const absl::AlphaNum& found,
                      absl::string_view remedy) {
  return absl::FailedPreconditionError(absl::StrCat(
      "expert worker ", address, ": ", what, ": expected ", absl::string_view(expected.Piece()),
      ", found ", absl::string_view(found.Piece()), "; ", remedy));
}

}  // namespace

absl::StatusOr<ExpertWorkerDescription> FetchDescription(
    const std::string& address, const std::shared_ptr<grpc::Channel>& channel,
    absl::Duration timeout) {
  const std::unique_ptr<v1::ExpertWorker::Stub> stub = v1::ExpertWorker::NewStub(channel);
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
  v1::DescribeResponse response;
  const grpc::Status status = stub->Describe(&context, v1::DescribeRequest(), &response);
  if (!status.ok()) {
    return absl::UnavailableError(
        absl::StrCat("expert worker ", address, " did not answer Describe within ",
                     absl::FormatDuration(timeout), ": ", FromGrpcStatus(status).ToString()));
  }
  const std::optional<DType> dtype = RowFormatDType(static_cast<uint64_t>(response.row_format()));
  if (!dtype.has_value()) {
    return Contradiction(address, "row_format is neither bf16 nor f32");
  }
  for (const uint32_t size : {response.num_layers(), response.num_experts(), response.hidden_size(),
                              response.intermediate_size(), response.max_batch_rows()}) {
    if (size == 0 || !FitsInt(size)) {
      return Contradiction(address, absl::StrCat("a size is ", size));
    }
  }
  ExpertWorkerDescription description;
  description.digest = response.digest();
  description.row_dtype = *dtype;
  description.backend = response.backend();
  description.num_layers = static_cast<int>(response.num_layers());
  description.num_experts = static_cast<int>(response.num_experts());
  description.hidden_size = static_cast<int>(response.hidden_size());
  description.intermediate_size = static_cast<int>(response.intermediate_size());
  description.max_batch_rows = static_cast<int>(response.max_batch_rows());
  description.draining = response.draining();
  const absl::Status experts = ReadExperts(address, response, &description);
  if (!experts.ok()) return experts;
  return description;
}

absl::Status CheckDescription(const std::string& address,
                              const ExpertWorkerDescription& description,
                              const ExpertWorkerExpectation& expected) {
  constexpr char kSameModel[] = "start it with the coordinator's --model";
  struct Size {
    const char* name;
    int expected;
    int found;
  };
  if (description.row_dtype != expected.row_dtype) {
    return Mismatch(address, "row format", DTypeName(expected.row_dtype).data(),
                    DTypeName(description.row_dtype).data(), "start both with the same --compute");
  }
  for (const Size& size :
       {Size{"num_layers", expected.num_layers, description.num_layers},
        Size{"num_experts", expected.num_experts, description.num_experts},
        Size{"hidden_size", expected.hidden_size, description.hidden_size},
        Size{"intermediate_size", expected.intermediate_size, description.intermediate_size}}) {
    if (size.expected != size.found) {
      return Mismatch(address, size.name, size.expected, size.found, kSameModel);
    }
  }
  if (description.digest != expected.digest) {
    return Mismatch(address, "checkpoint digest", expected.digest, description.digest, kSameModel);
  }
  if (description.draining) {
    return DrainingError(absl::StrCat("expert worker ", address, " is shutting down"));
  }
  return absl::OkStatus();
}

}  // namespace tramontane
