#include "tokenizer/decoder_sequence.h"

#include <fmt/format.h>

namespace sheaf::tokenizer {
namespace {

// Real files have four.
constexpr std::size_t kDecodersMax = 64;
// A few rules can make a text long beyond all bounds; those of real models stay far below this.
constexpr std::size_t kGrowthMax = 256;

}  // namespace

Result<std::unique_ptr<const Decoder>> DecoderSequence::parse(const JsonField& field) {
  auto result = std::make_unique<DecoderSequence>();
  SHEAF_ASSIGN(const JsonField list, field.get("decoders"));
  SHEAF_ASSIGN(const std::vector<JsonField> items, list.array());
  if (items.size() > kDecodersMax)
    return list.error(fmt::format("holds more than {} decoders", kDecodersMax));
  for (const JsonField& item : items) {
    SHEAF_ASSIGN(std::unique_ptr<const Decoder> part, Decoder::parse(item));
    result->parts_.push_back(std::move(part));
    if (result->growth_max() > kGrowthMax)
      return list.error(fmt::format("makes texts more than {} times longer", kGrowthMax));
  }
  return std::unique_ptr<const Decoder>(std::move(result));
}

std::size_t DecoderSequence::growth_max() const {
  std::size_t growth = 1;
  for (const auto& part : parts_) growth *= part->growth_max();
  return growth;
}

void DecoderSequence::decode(std::vector<std::string>& tokens) const {
  for (const auto& part : parts_) part->decode(tokens);
}

}  // namespace sheaf::tokenizer
