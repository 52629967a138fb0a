#pragma once

#include "tokenizer/normalizer.h"

namespace sheaf::tokenizer {

// Each character in lower case, without regard to those around it.
class Lowercase final : public Normalizer {
 public:
  void normalize(std::string_view text, TextBuffer& out) const override;
  AlignedText normalize_aligned(const AlignedText& text) const override;
  std::size_t size_max(std::size_t size) const override;
};

}  // namespace sheaf::tokenizer
