#include "tokenizer/normalizer.h"

#include "tokenizer/bert_normalizer.h"

namespace sheaf::tokenizer {

Result<std::unique_ptr<const Normalizer>> Normalizer::parse(const JsonField& field) {
  SHEAF_ASSIGN(const std::string_view type, field.string("type"));
  if (type == "BertNormalizer") return BertNormalizer::parse(field);
  return field.unknown_type(type, "BertNormalizer");
}

}  // namespace sheaf::tokenizer
