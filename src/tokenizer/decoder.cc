#include "tokenizer/decoder.h"

#include "tokenizer/wordpiece_decoder.h"

namespace sheaf::tokenizer {

Result<std::unique_ptr<const Decoder>> Decoder::parse(const JsonField& field) {
  SHEAF_ASSIGN(const std::string_view type, field.string("type"));
  if (type == "WordPiece") return WordPieceDecoder::parse(field);
  return field.unknown_type(type, "WordPiece");
}

}  // namespace sheaf::tokenizer
