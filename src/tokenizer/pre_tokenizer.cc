#include "tokenizer/pre_tokenizer.h"

#include "tokenizer/bert_pre_tokenizer.h"
#include "tokenizer/byte_level_pre_tokenizer.h"
#include "tokenizer/character_pre_tokenizer.h"
#include "tokenizer/metaspace.h"
#include "tokenizer/pre_tokenizer_sequence.h"
#include "tokenizer/split_pre_tokenizer.h"
#include "tokenizer/white_space_split.h"
#include "tokenizer/whitespace_pre_tokenizer.h"

namespace sheaf::tokenizer {

void PreTokenized::start(std::string_view whole) {
  text = whole;
  pieces.clear();
  if (!whole.empty()) pieces.push_back({0, whole.size()});
}

Status PreTokenizer::apply(PreTokenized& text) const {
  text.spare.clear();
  for (const Piece& piece : text.pieces) {
    const std::size_t before = text.spare.size();
    SHEAF_TRY(split(piece.of(text.text), text.spare));
    for (std::size_t i = before; piece.begin > 0 && i < text.spare.size(); ++i) {
      text.spare[i].begin += piece.begin;
      text.spare[i].end += piece.begin;
    }
  }
  text.pieces.swap(text.spare);
  return {};
}

Result<std::unique_ptr<const PreTokenizer>> PreTokenizer::parse(const JsonField& field) {
  SHEAF_ASSIGN(const std::string_view type, field.string("type"));
  if (type == "BertPreTokenizer") {
    return std::unique_ptr<const PreTokenizer>(std::make_unique<BertPreTokenizer>());
  }
  if (type == "ByteLevel") return ByteLevelPreTokenizer::parse(field);
  if (type == "Digits") return CharacterPreTokenizer::parse_digits(field);
  if (type == "Metaspace") return Metaspace::parse(field);
  if (type == "Punctuation") return CharacterPreTokenizer::parse_punctuation(field);
  if (type == "Sequence") return PreTokenizerSequence::parse(field);
  if (type == "Split") return SplitPreTokenizer::parse(field);
  if (type == "Whitespace") {
    return std::unique_ptr<const PreTokenizer>(std::make_unique<WhitespacePreTokenizer>());
  }
  if (type == "WhitespaceSplit") {
    return std::unique_ptr<const PreTokenizer>(std::make_unique<WhiteSpaceSplit>());
  }
  return field.unknown_type(type,
                            "BertPreTokenizer, ByteLevel, Digits, Metaspace, Punctuation, "
                            "Sequence, Split, Whitespace, WhitespaceSplit");
}

}  // namespace sheaf::tokenizer
