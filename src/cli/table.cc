#include "cli/table.h"

#include <fmt/core.h>

#include <algorithm>
#include <cassert>

namespace sheaf::cli {
namespace {

// Columns on a terminal: bytes that do not continue a UTF-8 sequence. Enough for names and "µ".
std::size_t width_of(const std::string& text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

std::string three_digits(double value) {
  return fmt::format("{:.{}f}", value, value < 10 ? 2 : value < 100 ? 1 : 0);
}

}  // namespace

void Table::add_row(std::vector<std::string> cells) {
  assert(cells.size() == columns_.size());
  rows_.push_back(std::move(cells));
}

std::string Table::render() const {
  std::vector<std::vector<std::string>> lines(1);
  for (const Column& column : columns_) lines[0].push_back(column.title);
  lines.insert(lines.end(), rows_.begin(), rows_.end());

  std::vector<std::size_t> widths(columns_.size(), 0);
  for (const auto& line : lines)
    for (std::size_t i = 0; i < line.size(); ++i)
      widths[i] = std::max(widths[i], width_of(line[i]));

  std::string out;
  for (const auto& line : lines) {
    std::string text;
    for (std::size_t i = 0; i < line.size(); ++i) {
      const std::string blanks(widths[i] - width_of(line[i]), ' ');
      if (i > 0) text += "  ";
      text += i == 0 || columns_[i].left ? line[i] + blanks : blanks + line[i];
    }
    text.erase(text.find_last_not_of(' ') + 1);
    out += text + "\n";
  }
  return out;
}

std::string human_duration(double us) {
  if (us < 1e3) return fmt::format("{:.0f} µs", us);
  if (us < 1e6) return three_digits(us / 1e3) + " ms";
  return three_digits(us / 1e6) + " s";
}

std::string human_count(double count) {
  if (count < 1e3) return fmt::format("{:.0f}", count);
  if (count < 1e6) return three_digits(count / 1e3) + "k";
  return three_digits(count / 1e6) + "M";
}

}  // namespace sheaf::cli
