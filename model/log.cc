#include "model/log.h"

#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <atomic>
#include <cstdio>
#include <memory>
#include <mutex>

namespace tramontane {
namespace {

// Everything that Log needs, made at its first use and never destroyed, so that threads may log
// while the process exits.
class Logger {
 public:
  Logger() : spdlog_logger_("tramontane", std::make_shared<spdlog::sinks::stderr_sink_mt>()) {
    spdlog_logger_.set_level(spdlog::level::trace);
    spdlog_logger_.set_formatter(std::make_unique<spdlog::pattern_formatter>(
        "time=%Y-%m-%dT%H:%M:%S.%eZ %v", spdlog::pattern_time_type::utc));
  }

  void SetProcess(std::string_view process_name, LogLevel least_level) {
    std::lock_guard<std::mutex> lock(mutex_);
    process_name_ = std::string(process_name);
    least_level_.store(least_level, std::memory_order_relaxed);
  }

  bool Writes(LogLevel level) const {
    return level >= least_level_.load(std::memory_order_relaxed);
  }

  std::string process_name() {
    std::lock_guard<std::mutex> lock(mutex_);
    return process_name_;
  }

  // spdlog's sink locks around the one write of a line.
  void Write(const std::string& line) {
    spdlog_logger_.log(spdlog::level::info, spdlog::string_view_t(line));
  }

 private:
  spdlog::logger spdlog_logger_;
  std::atomic<LogLevel> least_level_{LogLevel::kInfo};
  std::mutex mutex_;
  std::string process_name_ = "tramontane";  // guarded by mutex_
};

Logger& TheLogger() {
  static Logger* const logger = new Logger();
  return *logger;
}

std::string_view LevelName(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
  }
  return "unknown";
}

bool IsBareCharacter(unsigned char c) {
  return c > ' ' && c != '"' && c != '=' && c != '\\' && c != 0x7f;
}

void AppendQuoted(std::string_view value, std::string* line) {
  line->push_back('"');
  for (const char c : value) {
    const unsigned char byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      line->push_back('\\');
      line->push_back(c);
    } else if (c == '\n') {
      line->append("\\n");
    } else if (c == '\r') {
      line->append("\\r");
    } else if (c == '\t') {
      line->append("\\t");
    } else if (byte < 0x20 || byte == 0x7f) {
      absl::StrAppend(line, "\\u00", absl::Hex(byte, absl::kZeroPad2));
    } else {
      line->push_back(c);
    }
  }
  line->push_back('"');
}

void AppendField(std::string_view key, std::string_view value, std::string* line) {
  line->append(" ").append(key).append("=");
  bool bare = !value.empty();
  for (const char c : value) bare = bare && IsBareCharacter(static_cast<unsigned char>(c));
  if (bare) {
    line->append(value);
  } else {
    AppendQuoted(value, line);
  }
}

}  // namespace

void Log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  Logger& logger = TheLogger();
  if (!logger.Writes(level)) return;
  std::string line = "level=";
  line.append(LevelName(level));
  AppendField("process", logger.process_name(), &line);
  AppendField("event", event, &line);
  for (const LogField& field : fields) AppendField(field.key, field.value, &line);
  logger.Write(line);
}

void InitLog(std::string_view process_name, LogLevel least_level) {
  TheLogger().SetProcess(process_name, least_level);
}

}  // namespace tramontane
