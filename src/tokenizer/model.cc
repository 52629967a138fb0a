#include "tokenizer/model.h"

#include "tokenizer/unigram.h"
#include "tokenizer/wordpiece.h"

namespace sheaf::tokenizer {
namespace {

Result<std::string_view> model_type(const JsonField& field) {
  SHEAF_ASSIGN(const std::optional<JsonField> type, field.find("type"));
  if (type) return type->string();
  SHEAF_ASSIGN(const std::optional<JsonField> of_wordpiece, field.find("max_input_chars_per_word"));
  if (of_wordpiece) return std::string_view("WordPiece");
  SHEAF_ASSIGN(const std::optional<JsonField> of_unigram, field.find("unk_id"));
  if (of_unigram) return std::string_view("Unigram");
  return field.error("\"type\" is missing");
}

}  // namespace

Result<std::unique_ptr<const Model>> Model::parse(const JsonField& field) {
  SHEAF_ASSIGN(const std::string_view type, model_type(field));
  if (type == "WordPiece") return WordPiece::parse(field);
  if (type == "Unigram") return Unigram::parse(field);
  return field.unknown_type(type, "WordPiece, Unigram");
}

}  // namespace sheaf::tokenizer
