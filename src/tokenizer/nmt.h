#pragma once

#include "tokenizer/normalizer.h"

namespace sheaf::tokenizer {

// The "NMT" normalizer: drops some control characters, makes others that count as white space
// spaces.
class Nmt final : public Normalizer {
 public:
  void normalize(std::string_view text, TextBuffer& out) const override;
  AlignedText normalize_aligned(const AlignedText& text) const override;
  std::size_t size_max(std::size_t size) const override { return size; }
};

}  // namespace sheaf::tokenizer
