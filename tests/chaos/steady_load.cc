#include "tests/chaos/steady_load.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/integration/story_streams.h"

namespace tramontane {
namespace {

// Nothing that a scenario does may take a request longer.
constexpr std::chrono::minutes kRequestDeadline{2};

}  // namespace

absl::StatusOr<std::unique_ptr<SteadyLoad>> SteadyLoad::Start(v1::Inference::Stub* stub,
                                                              const SteadyLoadOptions& options) {
  std::unique_ptr<SteadyLoad> load(new SteadyLoad(stub, options));
  for (int i = 0; i < options.num_stories; ++i) {
    const absl::StatusOr<v1::GenerateResponse> answer =
        GenerateAll(*stub, Story(static_cast<size_t>(i), options.max_tokens));
    if (!answer.ok()) return answer.status();
    load->alone_.push_back(Bits(*answer));
  }
  const absl::Time now = absl::Now();
  load->last_message_.assign(static_cast<size_t>(options.num_clients), now);
  for (int client = 0; client < options.num_clients; ++client) {
    load->clients_.emplace_back([load = load.get(), client] { load->RunClient(client); });
  }
  return load;
}

SteadyLoad::SteadyLoad(v1::Inference::Stub* stub, const SteadyLoadOptions& options)
    : stub_(stub), options_(options) {}

SteadyLoad::~SteadyLoad() {
  stopping_ = true;
  for (std::thread& client : clients_) client.join();
}

void SteadyLoad::RunClient(int client) {
  while (!stopping_) Ask(client, next_story_++ % static_cast<size_t>(options_.num_stories));
}

void SteadyLoad::Ask(int client, size_t story) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kRequestDeadline);
  absl::Time last = absl::Now();
  const auto reader = stub_->Generate(&context, Story(story, options_.max_tokens));
  v1::GenerateResponse all, part;
  while (reader->Read(&part)) {
    const absl::Time now = absl::Now();
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      messages_.push_back({now, now - last, part.token_ids_size()});
      last_message_[static_cast<size_t>(client)] = now;
    }
    last = now;
    all.MergeFrom(part);
    if (stopping_) context.TryCancel();
  }
  const grpc::Status status = reader->Finish();
  if (stopping_) return;
  const std::lock_guard<std::mutex> lock(mutex_);
  const absl::Time now = absl::Now();
  last_message_[static_cast<size_t>(client)] = now;
  endings_.push_back(
      {now,
       absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message()),
       status.ok() && Bits(all) != alone_[story]});
}

LoadReport SteadyLoad::Report(absl::Time begin, absl::Time end) const {
  LoadReport report;
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const Message& message : messages_) {
    if (message.time < begin || message.time >= end) continue;
    report.num_tokens += message.num_tokens;
    report.longest_stall = std::max(report.longest_stall, message.stall);
  }
  for (const Ending& ending : endings_) {
    if (ending.time < begin || ending.time >= end) continue;
    ++report.num_requests;
    report.num_different += ending.different ? 1 : 0;
    if (ending.status.ok()) continue;
    if (report.num_failed++ == 0) report.first_failure = ending.status.ToString();
  }
  return report;
}

double SteadyLoad::Speed(absl::Time begin, absl::Time end) const {
  return static_cast<double>(Report(begin, end).num_tokens) / absl::ToDoubleSeconds(end - begin);
}

absl::Duration SteadyLoad::StalledNow(absl::Time now) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return now - *std::min_element(last_message_.begin(), last_message_.end());
}

}  // namespace tramontane
