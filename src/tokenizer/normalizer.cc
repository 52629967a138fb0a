#include "tokenizer/normalizer.h"

#include "tokenizer/bert_normalizer.h"
#include "tokenizer/unicode.h"

namespace sheaf::tokenizer {

void AlignedText::append(std::uint32_t c, Piece origin) {
  unicode::append_utf8(c, text);
  origins.resize(text.size(), origin);
}

Result<std::unique_ptr<const Normalizer>> Normalizer::parse(const JsonField& field) {
  SHEAF_ASSIGN(const std::string_view type, field.string("type"));
  if (type == "BertNormalizer") return BertNormalizer::parse(field);
  return field.unknown_type(type, "BertNormalizer");
}

}  // namespace sheaf::tokenizer
