#include "slices/core_load.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>

namespace sheaf::slices {
namespace {

// user, nice, system, idle, iowait, irq, softirq, steal. Guests' time is in the first two.
constexpr std::size_t kFields = 8, kIdle = 3, kIoWait = 4;

bool take_number(std::string_view& text, std::uint64_t& number) {
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failure != std::errc()) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return true;
}

// "cpu3 1 2 3 …"; not "cpu  …", the sum of all. Old kernels have fewer fields.
std::optional<std::pair<int, CoreTime>> parse_core_line(std::string_view line) {
  std::uint64_t number = 0;
  if (!line.starts_with("cpu") || line.size() < 4 || line[3] == ' ') return std::nullopt;
  line.remove_prefix(3);
  if (!take_number(line, number) || number > 1 << 20) return std::nullopt;
  std::array<std::uint64_t, kFields> ticks = {};
  std::size_t known = 0;
  while (known < kFields && take_number(line, ticks[known])) ++known;
  if (known <= kIdle) return std::nullopt;
  CoreTime time;
  for (const std::uint64_t one : ticks) time.total += one;
  time.busy = time.total - ticks[kIdle] - ticks[kIoWait];
  return std::pair(static_cast<int>(number), time);
}

// Of counters that may go back by a tick: the kernel's idle time is known to.
std::uint64_t grown(std::uint64_t before, std::uint64_t after) {
  return after > before ? after - before : 0;
}

}  // namespace

Result<CoreTimes> read_core_times() {
  std::ifstream file("/proc/stat");
  return parse_core_times(std::string{std::istreambuf_iterator<char>(file), {}});
}

Result<CoreTimes> parse_core_times(std::string_view text) {
  CoreTimes times;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (const auto core = parse_core_line(line)) times.insert(*core);
  }
  if (times.empty()) return Error{ErrorCode::corrupt, "/proc/stat tells of no processor core"};
  return times;
}

std::optional<double> load_between(const CoreTimes& before, const CoreTimes& after,
                                   std::span<const int> cpus) {
  std::uint64_t busy = 0, total = 0;
  for (const int cpu : cpus) {
    const auto first = before.find(cpu), last = after.find(cpu);
    if (first == before.end() || last == after.end()) continue;
    busy += grown(first->second.busy, last->second.busy);
    total += grown(first->second.total, last->second.total);
  }
  if (total == 0) return std::nullopt;
  return std::min(1.0, static_cast<double>(busy) / static_cast<double>(total));
}

}  // namespace sheaf::slices
