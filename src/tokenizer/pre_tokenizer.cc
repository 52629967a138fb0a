#include "tokenizer/pre_tokenizer.h"

#include "tokenizer/bert_pre_tokenizer.h"

namespace sheaf::tokenizer {

void PreTokenizer::split_aligned(AlignedText& text, std::vector<Piece>& pieces) const {
  TextBuffer unused;
  split(text.text, pieces, unused);
}

Result<std::unique_ptr<const PreTokenizer>> PreTokenizer::parse(const JsonField& field) {
  SHEAF_ASSIGN(const std::string_view type, field.string("type"));
  if (type == "BertPreTokenizer") {
    return std::unique_ptr<const PreTokenizer>(std::make_unique<BertPreTokenizer>());
  }
  return field.unknown_type(type, "BertPreTokenizer");
}

}  // namespace sheaf::tokenizer
