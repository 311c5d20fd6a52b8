#include "tests/chaos/mixed_load.h"

#include <algorithm>
#include <chrono>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace tramontane {
namespace {

constexpr uint32_t kRequestsOfSort = 4;
constexpr char kTokenization[] = "Tokenize and Detokenize";
constexpr std::chrono::seconds kTokenizationDeadline{30};

absl::Status ToAbslStatus(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

absl::StatusOr<std::vector<uint32_t>> Tokenize(v1::Inference::Stub& stub, const std::string& text) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kTokenizationDeadline);
  v1::TokenizeRequest request;
  request.set_text(text);
  v1::TokenizeResponse response;
  const grpc::Status status = stub.Tokenize(&context, request, &response);
  if (!status.ok()) return ToAbslStatus(status);
  return std::vector<uint32_t>(response.token_ids().begin(), response.token_ids().end());
}

absl::StatusOr<std::string> Detokenize(v1::Inference::Stub& stub,
                                       const std::vector<uint32_t>& token_ids) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kTokenizationDeadline);
  v1::DetokenizeRequest request;
  request.mutable_token_ids()->Add(token_ids.begin(), token_ids.end());
  v1::DetokenizeResponse response;
  const grpc::Status status = stub.Detokenize(&context, request, &response);
  if (!status.ok()) return ToAbslStatus(status);
  return response.text();
}

// Whether the client's own going explains the ending.
bool IsCut(const LoadSort& sort, const absl::Status& status) {
  if (sort.cancel_after_at_most > 0) return absl::IsCancelled(status);
  // RESOURCE_EXHAUSTED: the server sees that the deadline cannot be met.
  return sort.deadline_at_most > absl::ZeroDuration() &&
         (absl::IsDeadlineExceeded(status) || absl::IsResourceExhausted(status));
}

}  // namespace

absl::StatusOr<std::unique_ptr<MixedLoad>> MixedLoad::Start(v1::Inference::Stub* stub,
                                                            const MixedLoadOptions& options) {
  std::unique_ptr<MixedLoad> load(new MixedLoad(stub, options));
  for (const LoadSort& sort : AllLoadSorts()) {
    for (uint32_t index = 0; index < kRequestsOfSort; ++index) {
      Asked asked{&sort, RequestOf(sort, index), {}};
      LoadSort patient;  // reads to the end
      const absl::Status status =
          ToAbslStatus(Send(*stub, patient, asked.request, 0, &asked.known, nullptr));
      if (status.code() != sort.refused_with) {
        return absl::InternalError(absl::StrCat(sort.name, ": ", status.ToString()));
      }
      load->asked_.push_back(std::move(asked));
    }
  }
  for (const char* text :
       {"Once upon a time", "Il était une fois, dans une forêt", "🦊 1234\n\tx"}) {
    absl::StatusOr<std::vector<uint32_t>> token_ids = Tokenize(*stub, text);
    if (!token_ids.ok()) return token_ids.status();
    absl::StatusOr<std::string> back = Detokenize(*stub, *token_ids);
    if (!back.ok()) return back.status();
    load->texts_.push_back({text, *std::move(token_ids), *std::move(back)});
  }
  for (int client = 0; client < options.num_clients; ++client) {
    load->clients_.emplace_back([load = load.get(), client] { load->RunClient(client); });
  }
  return load;
}

MixedLoad::MixedLoad(v1::Inference::Stub* stub, const MixedLoadOptions& options)
    : stub_(stub), options_(options) {}

MixedLoad::~MixedLoad() { Stop(); }

void MixedLoad::Stop() {
  stopping_ = true;
  for (std::thread& client : clients_) client.join();
  clients_.clear();
}

void MixedLoad::RunClient(int client) {
  std::mt19937 random(static_cast<uint32_t>(client));
  while (!stopping_) {
    const size_t choice = random() % (asked_.size() + texts_.size());
    if (choice < asked_.size()) {
      Ask(asked_[choice], random());
    } else {
      AskForTokens(texts_[choice - asked_.size()]);
    }
    absl::SleepFor(options_.pause * (0.5 + static_cast<double>(random() % 1000) / 1000));
  }
}

void MixedLoad::Ask(const Asked& asked, uint32_t chance) {
  SortReport one;
  CompletionBits bits;
  const absl::Status status =
      ToAbslStatus(Send(*stub_, *asked.sort, asked.request, chance, &bits, &one.longest_stall));
  one.num_tokens = bits.num_tokens();
  if (IsCut(*asked.sort, status)) {
    one.num_cut = 1;
    one.num_different = bits.Begins(asked.known) ? 0 : 1;
  } else if (status.code() == asked.sort->refused_with) {
    one.num_different = bits == asked.known ? 0 : 1;
  } else {
    one.num_failed = 1;
    one.first_failure = status.ToString();
  }
  Count(asked.sort->name, one);
}

void MixedLoad::AskForTokens(const Text& text) {
  SortReport one;
  const absl::StatusOr<std::vector<uint32_t>> token_ids = Tokenize(*stub_, text.text);
  const absl::StatusOr<std::string> back = Detokenize(*stub_, text.token_ids);
  if (!token_ids.ok() || !back.ok()) {
    one.num_failed = 1;
    one.first_failure = (token_ids.ok() ? back.status() : token_ids.status()).ToString();
  } else {
    one.num_different = *token_ids == text.token_ids && *back == text.back ? 0 : 1;
  }
  Count(kTokenization, one);
}

void MixedLoad::Count(const std::string& sort, const SortReport& one) {
  const std::lock_guard<std::mutex> lock(mutex_);
  SortReport& report = reports_[sort];
  ++report.num_requests;
  report.num_cut += one.num_cut;
  report.num_failed += one.num_failed;
  report.num_different += one.num_different;
  report.num_tokens += one.num_tokens;
  report.longest_stall = std::max(report.longest_stall, one.longest_stall);
  if (report.first_failure.empty()) report.first_failure = one.first_failure;
}

std::vector<SortReport> MixedLoad::Report() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<SortReport> reports;
  for (const auto& [name, report] : reports_) {
    reports.push_back(report);
    reports.back().sort = name;
  }
  return reports;
}

std::vector<std::string> LoadFaults(const std::vector<SortReport>& load) {
  std::vector<std::string> faults;
  for (const SortReport& sort : load) {
    if (sort.num_failed + sort.num_different == 0) continue;
    faults.push_back(absl::StrCat(sort.sort, ": ", sort.num_failed, " failed, ", sort.num_different,
                                  " different; first failure: ", sort.first_failure));
  }
  return faults;
}

}  // namespace tramontane
