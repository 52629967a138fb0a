#include "kernels/profile.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <utility>
#include <vector>

namespace sheaf::kernels {
namespace {

constexpr char kLine[] = "{:<28.28}{:>8}{:>8}{:>10}{:>7}{:>14}{:>5}\n";  // 80 columns

std::string percent(double part, double whole, int digits) {
  return whole > 0 ? fmt::format("{:.{}f}%", 100 * part / whole, digits) : "";
}

std::string mean(std::size_t sum, std::size_t count) {
  return fmt::format("{:.1f}", static_cast<double>(sum) / static_cast<double>(count));
}

std::string ms(const Profile::Sum& sum) { return fmt::format("{:.2f}", sum.wall_ns * 1e-6); }

// In a nanosecond as many as billions in a second.
std::string rate(const Profile::Sum& sum) {
  if (sum.wall_ns == 0) return "";  // shorter than the clock's step
  if (sum.flop > 0) return fmt::format("{:.1f} GFLOP/s", sum.flop / sum.wall_ns);
  return sum.bytes > 0 ? fmt::format("{:.1f} GB/s", sum.bytes / sum.wall_ns) : "";
}

std::string busy(const Profile::Sum& sum) {
  return sum.busy_ns > 0 ? percent(sum.busy_ns, sum.threads_ns, 0) : "";
}

}  // namespace

void Profile::add(const Call& call) {
  const std::lock_guard lock(mutex_);
  Sum& sum = sums_[call.operation];
  ++sum.calls;
  sum.rows += call.rows;
  sum.flop += call.flop;
  sum.bytes += call.bytes;
  sum.wall_ns += static_cast<double>(call.wall_ns);
  sum.busy_ns += static_cast<double>(call.busy_ns);
  sum.threads_ns += static_cast<double>(call.wall_ns) * call.threads;
}

std::map<std::string, Profile::Sum> Profile::sums() const {
  const std::lock_guard lock(mutex_);
  return sums_;
}

std::string Profile::table(const std::string& title) const {
  const std::map<std::string, Sum> by_name = sums();
  std::vector<std::pair<std::string, Sum>> rows(by_name.begin(), by_name.end());
  std::ranges::stable_sort(rows, std::ranges::greater(),
                           [](const auto& row) { return row.second.wall_ns; });
  Sum all;
  for (const auto& [operation, sum] : rows) {
    all.wall_ns += sum.wall_ns;
    all.flop += sum.flop;
    all.busy_ns += sum.busy_ns;
    all.threads_ns += sum.threads_ns;
  }
  std::string text = title + "\n";
  text += fmt::format(kLine, "operation", "calls", "rows", "ms", "share", "rate", "busy");
  for (const auto& [operation, sum] : rows)
    text += fmt::format(kLine, operation, sum.calls, mean(sum.rows, sum.calls), ms(sum),
                        percent(sum.wall_ns, all.wall_ns, 1), rate(sum), busy(sum));
  return text + fmt::format(kLine, "all", "", "", ms(all), "", rate(all), busy(all));
}

std::shared_ptr<Profile> profile_if_asked() {
  const char* asked = std::getenv("SHEAF_PROFILE");
  const std::string_view text = asked == nullptr ? "" : asked;
  return text.empty() || text == "0" ? nullptr : std::make_shared<Profile>();
}

void print_profile(const Profile* profile) {
  if (profile == nullptr) return;
  const std::string text = profile->table(fmt::format("operations of process {}", ::getpid()));
  std::fwrite(text.data(), 1, text.size(), stderr);
}

}  // namespace sheaf::kernels
