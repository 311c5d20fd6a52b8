#include "proto/serving/grpc_log.h"

#include <grpc/support/log.h>

#include <chrono>
#include <cstdlib>
#include <mutex>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "model/log.h"

namespace tramontane {
namespace {

constexpr int kMaxLines = 10;
constexpr absl::Duration kWindow = absl::Seconds(10);

void WriteLine(gpr_log_func_args* args) {
  static std::mutex& mutex = *new std::mutex;  // gRPC's threads may outlive main
  static LineLimit& limit = *new LineLimit(kMaxLines, kWindow);
  std::optional<int64_t> left_out;
  {
    const std::lock_guard<std::mutex> lock(mutex);
    left_out = limit.Take(absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch()));
  }
  if (!left_out.has_value()) return;
  std::string_view file = args->file;
  file.remove_prefix(file.rfind('/') + 1);  // npos + 1 is 0
  Log(LogLevel::kWarning, "gRPC says",
      {{"message", args->message},
       {"source", absl::StrCat(std::string(file), ":", args->line)},
       {"lines_left_out", *left_out}});
}

}  // namespace

std::optional<int64_t> LineLimit::Take(absl::Duration now) {
  if (!begin_.has_value() || now - *begin_ >= window_) {
    begin_ = now;
    lines_ = 0;
  }
  if (lines_ == max_lines_) {
    ++left_out_;
    return std::nullopt;
  }
  ++lines_;
  const int64_t left_out = left_out_;
  left_out_ = 0;
  return left_out;
}

void TakeGrpcLog() {
  if (std::getenv("GRPC_VERBOSITY") == nullptr) gpr_set_log_function(WriteLine);
}

}  // namespace tramontane
