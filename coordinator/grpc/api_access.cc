#include "coordinator/grpc/api_access.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/log.h"
#include "proto/serving/text_file.h"

namespace tramontane {
namespace {

// Of a token's requests in a minute, so many may come at once.
constexpr double kBurstShare = 1.0 / 6;
// After which a place among the concurrent requests may have become free.
constexpr absl::Duration kPlaceRetry = absl::Seconds(1);

double Capacity(const ApiToken& token) {
  return std::max(1.0, static_cast<double>(token.requests_per_minute) * kBurstShare);
}

}  // namespace

absl::StatusOr<std::shared_ptr<ApiAccess>> ApiAccess::Load(const std::string& path) {
  absl::StatusOr<std::string> text = ReadTextFile(path);
  if (!text.ok()) return text.status();
  absl::StatusOr<std::vector<ApiToken>> tokens = ParseApiTokens(*text, path);
  if (!tokens.ok()) return tokens.status();
  return std::shared_ptr<ApiAccess>(new ApiAccess(path, *std::move(text), *std::move(tokens)));
}

ApiAccess::ApiAccess(std::string path, std::string text, std::vector<ApiToken> tokens)
    : path_(std::move(path)), state_(std::make_shared<State>()), text_(std::move(text)) {
  const std::lock_guard<std::mutex> lock(state_->mutex);
  state_->tokens = std::move(tokens);
}

bool ApiAccess::Admit(std::string_view authorization, absl::Time now, ApiPermit* permit,
                      ApiRefusal* refusal) {
  const std::string_view presented = BearerToken(authorization);
  if (presented.empty()) {
    refusal->reason = AuthFailure::kNoToken;
    refusal->status =
        absl::UnauthenticatedError("expected the header authorization: Bearer TOKEN, found none");
    return false;
  }
  const Sha256Digest digest = Sha256(presented);
  const std::lock_guard<std::mutex> lock(state_->mutex);
  const int index = FindApiToken(state_->tokens, digest);
  if (index < 0) {
    refusal->reason = AuthFailure::kUnknownToken;
    refusal->status = absl::UnauthenticatedError(
        "the token of the authorization header is not one that this server knows");
    return false;
  }
  const ApiToken& token = state_->tokens[static_cast<size_t>(index)];
  Usage& usage = state_->usage[token.name];
  if (permit != nullptr && !HasPlace(token, usage, refusal)) return false;
  if (!TakeOne(token, now, &usage, refusal)) return false;
  if (permit == nullptr) return true;
  ++usage.running;
  *permit = ApiPermit(std::shared_ptr<void>(nullptr, [state = state_, name = token.name](void*) {
    const std::lock_guard<std::mutex> release(state->mutex);
    --state->usage[name].running;
  }));
  return true;
}

bool ApiAccess::HasPlace(const ApiToken& token, const Usage& usage, ApiRefusal* refusal) {
  if (token.concurrent_requests == 0 || usage.running < token.concurrent_requests) return true;
  refusal->reason = AuthFailure::kConcurrentRequests;
  refusal->retry_after = kPlaceRetry;
  refusal->status = absl::ResourceExhaustedError(
      absl::StrCat("token ", token.name, " has ", usage.running, " requests running; its limit is ",
                   token.concurrent_requests));
  return false;
}

bool ApiAccess::TakeOne(const ApiToken& token, absl::Time now, Usage* usage, ApiRefusal* refusal) {
  if (token.requests_per_minute == 0) return true;
  const double per_second = static_cast<double>(token.requests_per_minute) / 60;
  const double gained = std::max(0.0, absl::ToDoubleSeconds(now - usage->counted) * per_second);
  usage->available = std::min(Capacity(token), usage->available + gained);
  usage->counted = std::max(usage->counted, now);
  if (usage->available < 1) {
    refusal->reason = AuthFailure::kRequestRate;
    refusal->retry_after = absl::Seconds((1 - usage->available) / per_second);
    refusal->status = absl::ResourceExhaustedError(absl::StrCat(
        "token ", token.name, " has used its ", token.requests_per_minute,
        " requests per minute; the next is due in ",
        absl::FormatDuration(absl::Ceil(refusal->retry_after, absl::Milliseconds(1)))));
    return false;
  }
  usage->available -= 1;
  return true;
}

absl::Status ApiAccess::Refresh() {
  const std::lock_guard<std::mutex> refresh(refresh_mutex_);
  absl::StatusOr<std::string> text = ReadTextFile(path_);
  absl::StatusOr<std::vector<ApiToken>> tokens = std::vector<ApiToken>();
  if (text.ok() && *text == text_) {
    fault_.clear();
    return absl::OkStatus();
  }
  if (text.ok()) tokens = ParseApiTokens(*text, path_);
  const absl::Status status = text.ok() ? tokens.status() : text.status();
  if (!status.ok()) {
    const std::string fault(status.message());
    if (fault != std::exchange(fault_, fault)) {
      Log(LogLevel::kWarning, "API tokens not reloaded: the ones before stay in use",
          {{"reason", fault}});
    }
    return status;
  }
  fault_.clear();
  text_ = *std::move(text);
  const std::lock_guard<std::mutex> lock(state_->mutex);
  state_->tokens = *std::move(tokens);
  // A name that is gone and has no calls is forgotten.
  for (auto it = state_->usage.begin(); it != state_->usage.end();) {
    const bool known = std::any_of(state_->tokens.begin(), state_->tokens.end(),
                                   [&it](const ApiToken& t) { return t.name == it->first; });
    it = known || it->second.running > 0 ? std::next(it) : state_->usage.erase(it);
  }
  Log(LogLevel::kInfo, "API tokens reloaded", {{"file", path_}, {"tokens", state_->tokens.size()}});
  return absl::OkStatus();
}

}  // namespace tramontane
