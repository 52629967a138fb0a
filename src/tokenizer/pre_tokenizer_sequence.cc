#include "tokenizer/pre_tokenizer_sequence.h"

#include <fmt/format.h>

#include <algorithm>

namespace sheaf::tokenizer {
namespace {

// Real files have two or three.
constexpr std::size_t kPreTokenizersMax = 64;

}  // namespace

Result<std::unique_ptr<const PreTokenizer>> PreTokenizerSequence::parse(const JsonField& field) {
  auto result = std::make_unique<PreTokenizerSequence>();
  SHEAF_ASSIGN(const JsonField list, field.get("pretokenizers"));
  SHEAF_ASSIGN(const std::vector<JsonField> items, list.array());
  if (items.size() > kPreTokenizersMax)
    return list.error(fmt::format("holds more than {} pre-tokenizers", kPreTokenizersMax));
  for (const JsonField& item : items) {
    SHEAF_ASSIGN(std::unique_ptr<const PreTokenizer> part, PreTokenizer::parse(item));
    if (result->is_byte_level()) {
      return Error{ErrorCode::unsupported,
                   item.error("a pre-tokenizer behind ByteLevel is not supported").message};
    }
    result->parts_.push_back(std::move(part));
  }
  return std::unique_ptr<const PreTokenizer>(std::move(result));
}

Status PreTokenizerSequence::split(std::string_view text, std::vector<Piece>& pieces) const {
  PreTokenized whole;
  whole.start(text);
  SHEAF_TRY(apply(whole));
  pieces.insert(pieces.end(), whole.pieces.begin(), whole.pieces.end());
  return {};
}

Status PreTokenizerSequence::apply(PreTokenized& text) const {
  for (const auto& part : parts_) SHEAF_TRY(part->apply(text));
  return {};
}

bool PreTokenizerSequence::is_byte_level() const {
  return !parts_.empty() && parts_.back()->is_byte_level();
}

bool PreTokenizerSequence::needs_origins() const {
  return std::any_of(parts_.begin(), parts_.end(),
                     [](const auto& part) { return part->needs_origins(); });
}

}  // namespace sheaf::tokenizer
