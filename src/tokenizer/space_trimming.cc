#include "tokenizer/space_trimming.h"

#include <algorithm>

#include "tokenizer/byte_level.h"

namespace sheaf::tokenizer {
namespace {

bool is_space_shown(unicode::CodePoint c) {
  return c == byte_level::characters()[' '] || unicode::contains(unicode::white_space(), c);
}

bool continues_character(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

// How many characters a token begins and ends with that are spaces.
struct Spaces {
  std::size_t leading = 0, trailing = 0;
  explicit Spaces(std::string_view token) {
    bool only_spaces = true;
    const char* p = token.data();
    while (p < token.data() + token.size()) {
      const bool space = is_space_shown(unicode::decode_utf8(p));
      only_spaces = only_spaces && space;
      leading += only_spaces ? 1 : 0;
      trailing = space ? trailing + 1 : 0;
    }
  }
};

std::size_t forward(std::string_view text, std::size_t at, std::size_t characters) {
  for (; characters > 0 && at < text.size(); --characters) {
    do {
      ++at;
    } while (at < text.size() && continues_character(text[at]));
  }
  return at;
}

// `at` itself if there are not so many characters before it.
std::size_t backward(std::string_view text, std::size_t at, std::size_t characters) {
  std::size_t result = at;
  for (; characters > 0; --characters) {
    if (result == 0) return at;
    do {
      --result;
    } while (result > 0 && continues_character(text[result]));
  }
  return result;
}

}  // namespace

void trim_spaces(const SpaceTrimming& trimming, std::string_view text, std::vector<Token>& tokens) {
  bool first = true;
  for (Token& token : tokens) {
    if (token.start < 0) {
      first = first && !trimming.behind_special;
      continue;
    }
    const Spaces spaces(token.text);
    auto start = static_cast<std::size_t>(token.start);
    auto stop = static_cast<std::size_t>(token.stop);
    const bool was_added =
        (first || start == 0) && trimming.add_prefix_space && spaces.leading == 1;
    if (!was_added) start = std::min(forward(text, start, spaces.leading), stop);
    stop = std::max(backward(text, stop, spaces.trailing), start);
    token.start = static_cast<std::int64_t>(start);
    token.stop = static_cast<std::int64_t>(stop);
    first = false;
  }
}

}  // namespace sheaf::tokenizer
