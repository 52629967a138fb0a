#include "tokenizer/model.h"

#include <fmt/format.h>

#include "tokenizer/bpe.h"
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
  SHEAF_ASSIGN(const std::optional<JsonField> of_bpe, field.find("merges"));
  if (of_bpe) return std::string_view("BPE");
  return field.error("\"type\" is missing");
}

}  // namespace

Result<std::unique_ptr<const Model>> Model::parse(const JsonField& field, Alphabet alphabet) {
  SHEAF_ASSIGN(const std::string_view type, model_type(field));
  if (type == "BPE") return Bpe::parse(field, alphabet);
  if (alphabet == Alphabet::bytes) {
    return Error{ErrorCode::unsupported,
                 field
                     .error(fmt::format("type {} behind a ByteLevel pre-tokenizer is not supported",
                                        in_quotes(type)))
                     .message};
  }
  if (type == "WordPiece") return WordPiece::parse(field);
  if (type == "Unigram") return Unigram::parse(field);
  return field.unknown_type(type, "BPE, Unigram, WordPiece");
}

}  // namespace sheaf::tokenizer
