#include "tokenizer/decoder_sequence.h"

#include <fmt/format.h>

namespace sheaf::tokenizer {
namespace {

// Real files have four.
constexpr std::size_t kPartsMax = 64;

}  // namespace

Result<std::unique_ptr<const Decoder>> DecoderSequence::parse(const JsonField& field) {
  auto result = std::make_unique<DecoderSequence>();
  SHEAF_ASSIGN(const JsonField list, field.get("decoders"));
  SHEAF_ASSIGN(const std::vector<JsonField> items, list.array());
  if (items.size() > kPartsMax)
    return list.error(fmt::format("holds more than {} decoders", kPartsMax));
  for (const JsonField& item : items) {
    SHEAF_ASSIGN(std::unique_ptr<const Decoder> part, Decoder::parse(item));
    result->parts_.push_back(std::move(part));
  }
  return std::unique_ptr<const Decoder>(std::move(result));
}

void DecoderSequence::decode(std::vector<std::string>& tokens) const {
  for (const auto& part : parts_) part->decode(tokens);
}

}  // namespace sheaf::tokenizer
