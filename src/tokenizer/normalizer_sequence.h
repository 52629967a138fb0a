#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "tokenizer/normalizer.h"

namespace sheaf::tokenizer {

// Several normalizers, one after the other.
class NormalizerSequence final : public Normalizer {
 public:
  NormalizerSequence() = default;
  explicit NormalizerSequence(std::vector<std::unique_ptr<const Normalizer>> parts)
      : parts_(std::move(parts)) {}
  static Result<std::unique_ptr<const Normalizer>> parse(const JsonField& field);

  void normalize(std::string_view text, TextBuffer& out) const override;
  AlignedText normalize_aligned(const AlignedText& text) const override;
  std::size_t size_max(std::size_t size) const override;

 private:
  std::vector<std::unique_ptr<const Normalizer>> parts_;
};

}  // namespace sheaf::tokenizer
