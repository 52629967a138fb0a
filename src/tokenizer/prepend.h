#pragma once

#include <string>

#include "tokenizer/normalizer.h"

namespace sheaf::tokenizer {

// Puts a prefix before each text that is not empty.
class Prepend final : public Normalizer {
 public:
  explicit Prepend(std::string prefix) : prefix_(std::move(prefix)) {}
  static Result<std::unique_ptr<const Normalizer>> parse(const JsonField& field);

  void normalize(std::string_view text, TextBuffer& out) const override;
  AlignedText normalize_aligned(const AlignedText& text) const override;
  std::size_t size_max(std::size_t size) const override { return size + prefix_.size(); }

 private:
  std::string prefix_;
};

}  // namespace sheaf::tokenizer
