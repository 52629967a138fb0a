#pragma once

#include <string>
#include <string_view>

namespace sheaf::tokenizer {

// `text` with each `from`, which is not empty, replaced by `to`, from left to right.
inline std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string result;
  for (;;) {
    const std::size_t at = text.find(from);
    result += text.substr(0, at);
    if (at == std::string_view::npos) return result;
    result += to;
    text.remove_prefix(at + from.size());
  }
}

}  // namespace sheaf::tokenizer
