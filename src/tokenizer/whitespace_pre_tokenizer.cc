#include "tokenizer/whitespace_pre_tokenizer.h"

namespace sheaf::tokenizer {

WhitespacePreTokenizer::WhitespacePreTokenizer() : kinds_(Kind::other) {
  kinds_.set(unicode::word(), Kind::word);
  kinds_.set(unicode::white_space(), Kind::space);
}

Status WhitespacePreTokenizer::split(std::string_view text, std::vector<Piece>& pieces) const {
  Kind run = Kind::space;  // of the characters before `p`
  const char* const end = text.data() + text.size();
  for (const char* p = text.data(); p < end;) {
    const auto begin = static_cast<std::size_t>(p - text.data());
    const Kind kind = kinds_[unicode::decode_utf8(p)];
    const auto behind = static_cast<std::size_t>(p - text.data());
    if (kind != Kind::space) {
      if (kind == run) {
        pieces.back().end = behind;
      } else {
        pieces.push_back({begin, behind});
      }
    }
    run = kind;
  }
  return {};
}

}  // namespace sheaf::tokenizer
