#pragma once

#include "tokenizer/code_point_map.h"
#include "tokenizer/normalizer.h"

namespace sheaf::tokenizer {

// Takes out all combining marks. Letters with marks in one character stay as they are.
class StripAccents final : public Normalizer {
 public:
  StripAccents();
  void normalize(std::string_view text, TextBuffer& out) const override;
  AlignedText normalize_aligned(const AlignedText& text) const override;
  std::size_t size_max(std::size_t size) const override { return size; }

 private:
  CodePointMap<bool> is_mark_;
};

}  // namespace sheaf::tokenizer
