#pragma once

#include "tokenizer/decoder.h"

namespace sheaf::tokenizer {

// Several decoders, one after the other.
class DecoderSequence final : public Decoder {
 public:
  static Result<std::unique_ptr<const Decoder>> parse(const JsonField& field);

  void decode(std::vector<std::string>& tokens) const override;
  std::size_t growth_max() const override;

 private:
  std::vector<std::unique_ptr<const Decoder>> parts_;
};

}  // namespace sheaf::tokenizer
