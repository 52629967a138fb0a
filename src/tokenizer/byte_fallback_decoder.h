#pragma once

#include "tokenizer/decoder.h"

namespace sheaf::tokenizer {

// Turns runs of tokens like "<0xE4>" into the text of these bytes, or, where they are not UTF-8,
// each into U+FFFD.
class ByteFallbackDecoder final : public Decoder {
 public:
  void decode(std::vector<std::string>& tokens) const override;
};

}  // namespace sheaf::tokenizer
