#pragma once

#include "tokenizer/decoder.h"

namespace sheaf::tokenizer {

// A space before each token but the first and those that continue a word; with `cleanup` also takes
// out the space before punctuation and English contractions.
class WordPieceDecoder final : public Decoder {
 public:
  WordPieceDecoder(std::string prefix, bool cleanup)
      : prefix_(std::move(prefix)), cleanup_(cleanup) {}
  static Result<std::unique_ptr<const Decoder>> parse(const JsonField& field);

  void decode(std::vector<std::string>& tokens) const override;

 private:
  std::string prefix_;
  bool cleanup_;
};

}  // namespace sheaf::tokenizer
