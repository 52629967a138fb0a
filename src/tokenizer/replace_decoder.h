#pragma once

#include "tokenizer/decoder.h"
#include "tokenizer/run_pattern.h"

namespace sheaf::tokenizer {

// Writes `content` for each match inside a token.
class ReplaceDecoder final : public Decoder {
 public:
  ReplaceDecoder(RunPattern pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}
  static Result<std::unique_ptr<const Decoder>> parse(const JsonField& field);

  void decode(std::vector<std::string>& tokens) const override;
  std::size_t growth_max() const override { return content_.size() / pattern_.size_min() + 1; }

 private:
  RunPattern pattern_;
  std::string content_;
};

}  // namespace sheaf::tokenizer
