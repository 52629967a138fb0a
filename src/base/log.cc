#include "base/log.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <ctime>
#include <string>

#include "base/text.h"

namespace sheaf {
namespace {

constexpr std::size_t kMessageBytesMax = 4096;
constexpr std::string_view kNames[] = {"debug", "info", "warn", "error", "off"};
std::atomic<LogLevel> log_level{LogLevel::info};
std::atomic<bool> log_json{false};

std::string timestamp() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  tm utc{};
  gmtime_r(&now.tv_sec, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", utc.tm_year + 1900,
                     utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
                     now.tv_nsec / 1'000'000);
}

// One line, of bounded length, whatever a client wrote into it.
std::string tame(std::string_view message) {
  std::string tamed = excerpt(message, kMessageBytesMax);
  std::replace_if(
      tamed.begin(), tamed.end(),
      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, ' ');
  return tamed;
}

std::string json_of(const LogField& field) {
  const auto* text = std::get_if<std::string_view>(&field.value);
  const auto* number = std::get_if<double>(&field.value);
  if (text != nullptr) return json_quote(*text);
  return number != nullptr ? fmt::format("{:.3f}", *number)
                           : std::to_string(std::get<std::uint64_t>(field.value));
}

std::string json_line(std::string_view level, std::string_view message,
                      std::span<const LogField> fields) {
  std::string line = fmt::format("{{\"time\":\"{}\",\"level\":\"{}\",\"message\":{}", timestamp(),
                                 level, json_quote(message));
  for (const LogField& field : fields)
    line += fmt::format(",\"{}\":{}", field.name, json_of(field));
  return line + "}\n";
}

}  // namespace

std::optional<LogLevel> parse_log_level(std::string_view name) {
  for (int i = 0; i < 5; ++i)
    if (kNames[i] == name) return static_cast<LogLevel>(i);
  return std::nullopt;
}

void set_log_options(LogOptions options) {
  log_level = options.level;
  log_json = options.json;
}

bool log_enabled(LogLevel level) { return level >= log_level.load(std::memory_order_relaxed); }

bool log_is_json() { return log_json.load(std::memory_order_relaxed); }

void write_log(LogLevel level, std::string_view text, std::span<const LogField> fields) {
  const std::string message = tame(text);
  const std::string_view name = kNames[static_cast<int>(level)];
  const std::string line = log_json ? json_line(name, message, fields)
                                    : fmt::format("{} {:5} {}\n", timestamp(), name, message);
  // One write a line keeps lines of several threads and processes whole.
  [[maybe_unused]] auto written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace sheaf
