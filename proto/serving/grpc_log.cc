#include "proto/serving/grpc_log.h"

#include <grpc/support/log.h>

#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "model/log.h"
#include "model/steady_clock.h"
#include "proto/serving/line_limit.h"

namespace tramontane {
namespace {

void WriteLine(gpr_log_func_args* args) {
  static LineLimit& limit = *new LineLimit;  // gRPC's threads may outlive main
  const std::optional<int64_t> left_out = limit.Take(SteadyNow());
  if (!left_out.has_value()) return;
  std::string_view file = args->file;
  file.remove_prefix(file.rfind('/') + 1);  // npos + 1 is 0
  Log(LogLevel::kWarning, "gRPC says",
      {{"message", args->message},
       {"source", absl::StrCat(std::string(file), ":", args->line)},
       {"lines_left_out", *left_out}});
}

}  // namespace

void TakeGrpcLog() {
  if (std::getenv("GRPC_VERBOSITY") == nullptr) gpr_set_log_function(WriteLine);
}

}  // namespace tramontane
