// Structured logs: one line an event, `time level process event key=value …`, on stderr.
#ifndef TRAMONTANE_MODEL_LOG_H_
#define TRAMONTANE_MODEL_LOG_H_

#include <initializer_list>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"

namespace tramontane {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// One key=value of a log line. The value is quoted where it holds a space, a quote or a control
// character, so that a line is always one line and can be parsed.
struct LogField {
  template <typename T>
  LogField(std::string_view k, const T& v) : key(k), value(absl::StrCat(v)) {}
  std::string_view key;
  std::string value;
};

// `event` is a short constant phrase ("worker connected"); what varies goes into fields.
// Thread-safe. Never pass a prompt, a generated text or a secret.
void Log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields = {});

// Names the process in every line and sets the least level that is written. Call once, from main.
void InitLog(std::string_view process_name, LogLevel least_level = LogLevel::kInfo);

}  // namespace tramontane

#endif  // TRAMONTANE_MODEL_LOG_H_
