#pragma once

#include "tokenizer/decoder.h"

namespace sheaf::tokenizer {

// From the byte-level alphabet (byte_level.h) back to bytes; a token with other characters stands
// for itself. What is no UTF-8 in the end becomes U+FFFD.
class ByteLevelDecoder final : public Decoder {
 public:
  void decode(std::vector<std::string>& tokens) const override;
};

}  // namespace sheaf::tokenizer
