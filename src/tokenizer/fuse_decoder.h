#pragma once

#include "tokenizer/decoder.h"

namespace sheaf::tokenizer {

// Joins all tokens into one, for decoders behind it that look at the ends of the text.
class FuseDecoder final : public Decoder {
 public:
  void decode(std::vector<std::string>& tokens) const override;
};

}  // namespace sheaf::tokenizer
