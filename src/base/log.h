#pragma once

#include <fmt/core.h>

#include <optional>
#include <string_view>

namespace sheaf {

enum class LogLevel { debug, info, warn, error, off };

// "debug", "info", "warn", "error", "off"; nothing for another word.
std::optional<LogLevel> parse_log_level(std::string_view name);

struct LogOptions {
  LogLevel level = LogLevel::info;
  bool json = false;  // one JSON object a line: {"time", "level", "message"}
};
void set_log_options(LogOptions options);  // at start, before threads
bool log_enabled(LogLevel level);

// One line on standard error a call, whole lines, from any thread. Standard output belongs to
// commands.
void write_log(LogLevel level, std::string_view message);

template <class... Args>
void log(LogLevel level, fmt::format_string<Args...> format, Args&&... args) {
  if (log_enabled(level)) write_log(level, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace sheaf
