#include "tokenizer/white_space_split.h"

namespace sheaf::tokenizer {

WhiteSpaceSplit::WhiteSpaceSplit() : is_space_(false) {
  is_space_.set(unicode::white_space(), true);
}

Status WhiteSpaceSplit::split(std::string_view text, std::vector<Piece>& pieces) const {
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  const auto offset = [&](const char* p) { return static_cast<std::size_t>(p - begin); };
  const char* word = begin;
  for (const char* p = begin; p < end;) {
    const char* const start = p;
    if (!is_space_[unicode::decode_utf8(p)]) continue;
    if (word < start) pieces.push_back({offset(word), offset(start)});
    word = p;
  }
  if (word < end) pieces.push_back({offset(word), offset(end)});
  return {};
}

}  // namespace sheaf::tokenizer
