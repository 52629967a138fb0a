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

void write_log(LogLevel level, std::string_view text) {
  const std::string message = tame(text);
  const std::string_view name = kNames[static_cast<int>(level)];
  std::string line = log_json ? fmt::format("{{\"time\":\"{}\",\"level\":\"{}\",\"message\":{}}}\n",
                                            timestamp(), name, json_quote(message))
                              : fmt::format("{} {:5} {}\n", timestamp(), name, message);
  // One write a line keeps lines of several threads and processes whole.
  [[maybe_unused]] auto written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace sheaf
