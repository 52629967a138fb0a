#pragma once

#include "tokenizer/decoder.h"
#include "tokenizer/metaspace.h"

namespace sheaf::tokenizer {

// Writes a space for each replacement; those of the first token vanish unless none was prepended.
class MetaspaceDecoder final : public Decoder {
 public:
  explicit MetaspaceDecoder(MetaspaceOptions options) : options_(std::move(options)) {}
  static Result<std::unique_ptr<const Decoder>> parse(const JsonField& field);

  void decode(std::vector<std::string>& tokens) const override;

 private:
  MetaspaceOptions options_;
};

}  // namespace sheaf::tokenizer
