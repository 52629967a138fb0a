#include "base/text_place.h"

#include <fmt/core.h>

#include <algorithm>

namespace sheaf {

std::string line_and_column(std::string_view text, std::size_t at) {
  const std::string_view before = text.substr(0, std::min(at, text.size()));
  const std::size_t line_begin = before.rfind('\n') + 1;  // 0 in the first line: npos + 1
  return fmt::format("line {}, column {}", 1 + std::ranges::count(before, '\n'),
                     before.size() - line_begin + 1);
}

}  // namespace sheaf
