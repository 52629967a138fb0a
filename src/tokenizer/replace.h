#pragma once

#include <string>

#include "tokenizer/normalizer.h"
#include "tokenizer/run_pattern.h"

namespace sheaf::tokenizer {

// Writes `content` for each match.
class Replace final : public Normalizer {
 public:
  Replace(RunPattern pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}
  static Result<std::unique_ptr<const Normalizer>> parse(const JsonField& field);

  void normalize(std::string_view text, TextBuffer& out) const override;
  AlignedText normalize_aligned(const AlignedText& text) const override;
  std::size_t size_max(std::size_t size) const override;

 private:
  RunPattern pattern_;
  std::string content_;
};

}  // namespace sheaf::tokenizer
