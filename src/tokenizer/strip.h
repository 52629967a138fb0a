#pragma once

#include "tokenizer/normalizer.h"
#include "tokenizer/piece.h"

namespace sheaf::tokenizer {

// Takes white space off the ends.
class Strip final : public Normalizer {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}
  static Result<std::unique_ptr<const Normalizer>> parse(const JsonField& field);

  void normalize(std::string_view text, TextBuffer& out) const override;
  AlignedText normalize_aligned(const AlignedText& text) const override;
  std::size_t size_max(std::size_t size) const override { return size; }

 private:
  Piece kept(std::string_view text) const;

  bool left_, right_;
};

}  // namespace sheaf::tokenizer
