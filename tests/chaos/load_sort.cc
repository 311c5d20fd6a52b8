#include "tests/chaos/load_sort.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/integration/story_streams.h"

namespace tramontane {
namespace {

// A machine that does much else may be slow; what hangs is found all the same.
constexpr absl::Duration kPatience = absl::Minutes(15);

LoadSort Named(std::string name, float temperature, uint32_t max_tokens) {
  LoadSort sort;
  sort.name = std::move(name);
  sort.request = Story(0, max_tokens);
  sort.request.set_temperature(temperature);
  return sort;
}

std::vector<LoadSort> MakeSorts() {
  std::vector<LoadSort> sorts = {
      Named("greedy, 16 tokens", 0, 16),
      Named("sampled, 60 tokens", 0.8f, 60),
      Named("sampled, 240 tokens", 1, 240),
      Named("prompt of 700 tokens", 0.8f, 8),
      Named("prompt scored, routing", 0.8f, 8),
      Named("four completions", 0.9f, 40),
      Named("slow reader", 0.8f, 60),
      Named("cancelled in mid-stream", 0.8f, 240),
      Named("deadline of 10 to 100 ms", 0.8f, 240),
      Named("refused: temperature -1", -1, 8),
  };
  sorts[3].prompt_tokens = 700;
  sorts[4].prompt_tokens = 40;
  sorts[4].request.set_prompt_logprobs(true);
  sorts[4].request.set_routing(true);
  sorts[4].request.set_top_logprobs(3);
  sorts[5].request.set_num_completions(4);
  sorts[6].reading_pause = absl::Milliseconds(30);
  sorts[7].cancel_after_at_most = 20;
  sorts[8].deadline_at_most = absl::Milliseconds(100);
  sorts[9].refused_with = absl::StatusCode::kInvalidArgument;
  return sorts;
}

template <typename List>
std::string ListBits(const List& list) {
  return std::string(reinterpret_cast<const char*>(list.data()),
                     static_cast<size_t>(list.size()) * sizeof(*list.data()));
}

constexpr size_t kListsOfOne = 4;

// In an order in which each list only grows at its end.
std::array<std::string, kListsOfOne> Lists(const v1::GenerateResponse& part) {
  std::array<std::string, kListsOfOne> lists = {
      ListBits(part.token_ids()), ListBits(part.logprobs()), ListBits(part.prompt_logprobs()), ""};
  for (const auto* routing : {&part.prompt_routing(), &part.routing()}) {
    for (const v1::TokenRouting& token : *routing) {
      absl::StrAppend(&lists[3], ListBits(token.expert_ids()), ListBits(token.weights()));
    }
  }
  return lists;
}

}  // namespace

const std::vector<LoadSort>& AllLoadSorts() {
  static const std::vector<LoadSort> all = MakeSorts();
  return all;
}

v1::GenerateRequest RequestOf(const LoadSort& sort, uint32_t index) {
  v1::GenerateRequest request = sort.request;
  request.set_seed(index);
  request.set_prompt(absl::StrCat("Once upon a time there were ", 2 + index, " wolves"));
  if (sort.prompt_tokens == 0) return request;
  request.clear_prompt();
  request.add_prompt_token_ids(1);
  for (uint32_t i = 1; i < sort.prompt_tokens; ++i) {
    request.add_prompt_token_ids(3 + (index * 101 + i * 31) % 4000);
  }
  return request;
}

void CompletionBits::Add(const v1::GenerateResponse& part) {
  const size_t begin = part.completion_index() * kListsOfOne;
  if (lists_.size() < begin + kListsOfOne) lists_.resize(begin + kListsOfOne);
  const std::array<std::string, kListsOfOne> more = Lists(part);
  for (size_t i = 0; i < kListsOfOne; ++i) lists_[begin + i] += more[i];
  num_tokens_ += part.token_ids_size();
}

bool CompletionBits::Begins(const CompletionBits& whole) const {
  if (lists_.size() > whole.lists_.size()) return false;
  for (size_t i = 0; i < lists_.size(); ++i) {
    if (!absl::StartsWith(whole.lists_[i], lists_[i])) return false;
  }
  return true;
}

grpc::Status Send(v1::Inference::Stub& stub, const LoadSort& sort,
                  const v1::GenerateRequest& request, uint32_t chance, CompletionBits* bits,
                  absl::Duration* longest_stall) {
  grpc::ClientContext context;
  absl::Duration patience = kPatience;
  if (sort.deadline_at_most > absl::ZeroDuration()) {
    patience = sort.deadline_at_most / 10 * (1 + chance % 10);
  }
  context.set_deadline(std::chrono::system_clock::now() + absl::ToChronoMicroseconds(patience));
  uint32_t messages_left =
      sort.cancel_after_at_most == 0 ? UINT32_MAX : 1 + chance % sort.cancel_after_at_most;
  const auto reader = stub.Generate(&context, request);
  v1::GenerateResponse part;
  absl::Time waiting_since = absl::Now();
  while (reader->Read(&part)) {
    if (longest_stall != nullptr) {
      *longest_stall = std::max(*longest_stall, absl::Now() - waiting_since);
    }
    bits->Add(part);
    if (--messages_left == 0) context.TryCancel();
    absl::SleepFor(sort.reading_pause);
    waiting_since = absl::Now();
  }
  return reader->Finish();
}

}  // namespace tramontane
