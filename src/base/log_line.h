#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <variant>

// Lines of the log as whole texts; log.h makes them. For what compiles without fmt, as sources for
// cards.
namespace sheaf {

enum class LogLevel { debug, info, warn, error, off };

// "debug", "info", "warn", "error", "off"; nothing for another word.
std::optional<LogLevel> parse_log_level(std::string_view name);

struct LogOptions {
  LogLevel level = LogLevel::info;
  bool json = false;  // one JSON object a line: {"time", "level", "message", fields...}
};
void set_log_options(LogOptions options);  // at start, before threads
bool log_enabled(LogLevel level);
bool log_is_json();

// What a program reading the log wants apart from the message. In text it stands in the message
// alone.
struct LogField {
  std::string_view name;
  std::variant<std::string_view, std::uint64_t, double> value;
};

// One line on standard error a call, whole lines, from any thread. Standard output belongs to
// commands.
void write_log(LogLevel level, std::string_view message, std::span<const LogField> fields = {});

}  // namespace sheaf
