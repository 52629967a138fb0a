#include "cli/progress_bar.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "base/text.h"
#include "cli/table.h"

namespace sheaf::cli {
namespace {

constexpr TimeUs kRedrawUs = 100'000;
constexpr TimeUs kPlainLineUs = 3'000'000;
constexpr std::size_t kColumns = 79;  // one less than a terminal's: no wrap at the edge

std::string amount(std::uint64_t value, ProgressBar::Unit unit) {
  const double number = static_cast<double>(value);
  switch (unit) {
    case ProgressBar::Unit::bytes:
      return human_bytes(number);
    case ProgressBar::Unit::milliseconds:
      return human_duration(number * 1e3);
    case ProgressBar::Unit::count:
      break;
  }
  return human_count(number);
}

// " 12.1k/s"; a time has no rate.
std::string rate_text(double rate, ProgressBar::Unit unit) {
  if (unit == ProgressBar::Unit::milliseconds) return "";
  return fmt::format(" {}/s", amount(static_cast<std::uint64_t>(rate), unit));
}

std::string clock_text(double seconds) {
  const auto whole = static_cast<std::uint64_t>(seconds + 0.5);
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

// Nothing in the first second, which says little of the rest.
std::string left_text(std::uint64_t done, std::uint64_t total, double rate, double elapsed_s) {
  if (done >= total) return ", finishing";
  if (elapsed_s < 1 || rate <= 0) return "";
  return fmt::format(", {} left", clock_text(static_cast<double>(total - done) / rate));
}

bool on_terminal() {
  // The hub's own switch, honoured since our bars replace its bars.
  const char* off = std::getenv("HF_HUB_DISABLE_PROGRESS_BARS");
  return ::isatty(STDERR_FILENO) == 1 && (off == nullptr || std::string(off) != "1");
}

}  // namespace

std::string progress_line(const std::string& label, std::uint64_t done, std::uint64_t total,
                          ProgressBar::Unit unit, double elapsed_s, std::size_t columns) {
  const double rate = elapsed_s > 0 ? static_cast<double>(done) / elapsed_s : 0;
  std::string right = fmt::format(" {}{}", amount(done, unit), rate_text(rate, unit));
  if (total == 0) return (label + right).substr(0, columns);

  const double share = std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
  right = fmt::format(" {:3.0f}% {}/{}{}{}", share * 100, amount(done, unit), amount(total, unit),
                      rate_text(rate, unit), left_text(done, total, rate, elapsed_s));
  const std::size_t used = label.size() + right.size() + 3;
  if (used + 5 > columns) return (label + right).substr(0, columns);
  const std::size_t width = std::min<std::size_t>(columns - used, 30);
  const auto filled = static_cast<std::size_t>(share * static_cast<double>(width));
  return fmt::format("{} [{}{}]{}", label, std::string(filled, '#'),
                     std::string(width - filled, ' '), right);
}

ProgressBar::ProgressBar(std::string label, std::uint64_t total, Unit unit)
    : label_(std::move(label)),
      total_(total),
      unit_(unit),
      terminal_(on_terminal()),
      started_us_(monotonic_us()),
      next_us_(started_us_ + (terminal_ ? kRedrawUs : kPlainLineUs)) {}

ProgressBar::~ProgressBar() {
  if (drawn_ && terminal_) std::fputs("\r\033[K", stderr);
}

void ProgressBar::update(std::uint64_t done) {
  done_ = done;
  const TimeUs now = monotonic_us();
  if (now >= next_us_) draw(now);
}

void ProgressBar::draw(TimeUs now) {
  next_us_ = now + (terminal_ ? kRedrawUs : kPlainLineUs);
  drawn_ = true;
  const double elapsed_s = static_cast<double>(now - started_us_) / 1e6;
  const std::string line = progress_line(label_, done_, total_, unit_, elapsed_s, kColumns);
  fmt::print(stderr, "{}{}{}", terminal_ ? "\r" : "", line, terminal_ ? "\033[K" : "\n");
  std::fflush(stderr);
}

}  // namespace sheaf::cli
