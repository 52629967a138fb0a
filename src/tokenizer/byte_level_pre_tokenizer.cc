#include "tokenizer/byte_level_pre_tokenizer.h"

namespace sheaf::tokenizer {

Result<std::unique_ptr<const PreTokenizer>> ByteLevelPreTokenizer::parse(const JsonField& field) {
  auto result = std::make_unique<ByteLevelPreTokenizer>();
  SHEAF_ASSIGN(result->add_prefix_space_, field.boolean("add_prefix_space"));
  // Of no use here, since the post-processor has its own; but the file must be well-formed.
  SHEAF_TRY(field.boolean("trim_offsets"));
  SHEAF_ASSIGN(const std::optional<JsonField> use_regex, field.find("use_regex"));
  if (use_regex) {
    SHEAF_ASSIGN(result->cuts_, use_regex->boolean());
  }
  return std::unique_ptr<const PreTokenizer>(std::move(result));
}

Status ByteLevelPreTokenizer::split(std::string_view text, std::vector<Piece>& pieces) const {
  if (cuts_) {
    scanner_.split(text, pieces);
  } else if (!text.empty()) {
    pieces.push_back({0, text.size()});
  }
  return {};
}

Status ByteLevelPreTokenizer::apply(PreTokenized& text) const {
  if (add_prefix_space_) {
    text.prefix_pieces(" ", [](std::string_view piece) { return piece[0] != ' '; });
  }
  return cuts_ ? PreTokenizer::apply(text) : Status();
}

}  // namespace sheaf::tokenizer
