// Structured logs: one line an event on stderr, every part a key=value (logfmt):
// `time=2026-05-01T12:00:00.000Z level=info process=coordinator event="worker connected" …`.
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
  // Abseil built for C++14, as some distributions have it, does not concatenate these.
  LogField(std::string_view k, std::string_view v) : key(k), value(v) {}
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
