#include "cli/table.h"

#include <fmt/core.h>

#include <algorithm>
#include <cassert>
#include <span>

#include "base/utf8.h"

namespace sheaf::cli {
namespace {

// Columns on a terminal: bytes that do not continue a UTF-8 sequence. Enough for names and "µ".
std::size_t width_of(const std::string& text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

struct Range {
  char32_t first, last;
};
// What moves the cursor or turns the line's direction.
constexpr Range kControls[] = {
    {0, 0x1F}, {0x7F, 0x9F}, {0x200E, 0x200F}, {0x2028, 0x202E}, {0x2066, 0x2069}};
constexpr Range kMarks[] = {{0x300, 0x36F},   {0x591, 0x5BD},   {0x610, 0x61A},   {0x64B, 0x65F},
                            {0x200B, 0x200D}, {0x20D0, 0x20FF}, {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F}};
constexpr Range kWide[] = {{0x1100, 0x115F}, {0x2E80, 0xA4CF},   {0xAC00, 0xD7A3},
                           {0xF900, 0xFAFF}, {0xFE30, 0xFE6F},   {0xFF00, 0xFF60},
                           {0xFFE0, 0xFFE6}, {0x1F300, 0x1FAFF}, {0x20000, 0x3FFFD}};

bool is_among(std::span<const Range> ranges, char32_t c) {
  return std::any_of(ranges.begin(), ranges.end(),
                     [c](const Range& range) { return range.first <= c && c <= range.last; });
}

// Of one well-formed sequence.
char32_t code_point(std::string_view sequence) {
  const auto lead = static_cast<unsigned char>(sequence[0]);
  char32_t c = sequence.size() == 1 ? lead : lead & (0xFFu >> (sequence.size() + 1));
  for (const char byte : sequence.substr(1))
    c = c << 6 | (static_cast<unsigned char>(byte) & 0x3Fu);
  return c;
}

constexpr std::size_t kLineColumns = 80;

// The blank to break a line at: the last one that leaves at most kLineColumns before it, else the
// first one behind `hang`. npos where all fits, or nothing can be done.
std::size_t break_of(std::string_view line, std::size_t hang) {
  std::size_t columns = 0, blank = line.npos;
  for (std::size_t at = 0; at < line.size(); ++at) {
    if (line[at] == ' ' && at > hang && (columns <= kLineColumns || blank == line.npos)) blank = at;
    if ((static_cast<unsigned char>(line[at]) & 0xC0) != 0x80) ++columns;
  }
  return columns > kLineColumns ? blank : line.npos;
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

std::string one_line(std::string_view text, std::size_t columns) {
  std::string out;
  std::size_t used = 0;
  std::size_t kept_bytes = 0;  // of `out`, if there must be room for the sign of the cut
  while (!text.empty()) {
    const std::size_t bytes = valid_utf8_sequence(text);
    const std::string_view character = bytes == 0 ? "\uFFFD" : text.substr(0, bytes);
    text.remove_prefix(std::max<std::size_t>(bytes, 1));
    const char32_t c = code_point(character);
    if (!is_among(kMarks, c)) used += is_among(kWide, c) ? 2 : 1;
    if (used > columns) return out.substr(0, kept_bytes) + "…";
    out += is_among(kControls, c) ? " " : character;
    if (used < columns) kept_bytes = out.size();
  }
  return out;
}

std::string_view short_name(std::string_view model) {
  return model.substr(std::min(model.rfind('/') + 1, model.size()));
}

std::string wrapped(std::string_view text, std::size_t hang) {
  std::string out, line(text);
  for (std::size_t at = break_of(line, hang); at != line.npos; at = break_of(line, hang)) {
    out += line.substr(0, at) + "\n";
    line = std::string(hang, ' ') + line.substr(at + 1);
  }
  return out + line + "\n";
}

std::string layers_named(std::string_view dtype) {
  std::string layers;
  for (const char c : dtype.substr(std::min(dtype.find(':'), dtype.size()))) {
    if (c == ':') continue;
    layers += c;
    if (c == ',') layers += ' ';
  }
  return layers;
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
