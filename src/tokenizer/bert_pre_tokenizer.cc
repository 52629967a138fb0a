#include "tokenizer/bert_pre_tokenizer.h"

namespace sheaf::tokenizer {

BertPreTokenizer::BertPreTokenizer() : kinds_(Kind::word) {
  kinds_.set(unicode::punctuation(), Kind::punctuation);
  kinds_.set(unicode::white_space(), Kind::space);
  for (unicode::CodePoint c = 0; c < 128; ++c) ascii_kinds_[c] = kinds_[c];
}

Status BertPreTokenizer::split(std::string_view text, std::vector<Piece>& pieces) const {
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  const auto offset = [&](const char* p) { return static_cast<std::size_t>(p - begin); };
  const char* word = begin;
  for (const char* p = begin; p < end;) {
    const char* const start = p;
    const auto byte = static_cast<unsigned char>(*p);
    const Kind kind = byte < 0x80 ? (++p, ascii_kinds_[byte]) : kinds_[unicode::decode_utf8(p)];
    if (kind == Kind::word) continue;
    if (word < start) pieces.push_back({offset(word), offset(start)});
    if (kind == Kind::punctuation) pieces.push_back({offset(start), offset(p)});
    word = p;
  }
  if (word < end) pieces.push_back({offset(word), offset(end)});
  return {};
}

}  // namespace sheaf::tokenizer
