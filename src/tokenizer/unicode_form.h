#pragma once

#include <vector>

#include "tokenizer/code_point_map.h"
#include "tokenizer/normalizer.h"

namespace sheaf::tokenizer {

// One of Unicode's four normalization forms (UAX #15), as of the Unicode that Hugging Face's is of.
class UnicodeForm final : public Normalizer {
 public:
  enum class Kind { nfc, nfd, nfkc, nfkd };
  explicit UnicodeForm(Kind kind);

  void normalize(std::string_view text, TextBuffer& out) const override;
  AlignedText normalize_aligned(const AlignedText& text) const override;
  std::size_t size_max(std::size_t size) const override;

 private:
  bool composes() const { return kind_ == Kind::nfc || kind_ == Kind::nfkc; }
  bool is_compatible() const { return kind_ == Kind::nfkc || kind_ == Kind::nfkd; }
  // The form of text that `characters` hold, as edits of it.
  void edit(std::span<const unicode::CodePoint> characters, std::vector<Edit>& edits) const;
  void decompose(unicode::CodePoint c, std::vector<Edit>& edits) const;
  bool is_inert(const char* p) const;
  const char* skip_inert(const char* p, const char* end) const;

  Kind kind_;
  // Whether a character stays as it is whatever stands around it and never joins the one before.
  CodePointMap<std::uint8_t> is_inert_;  // not of bool, which would be bits
};

}  // namespace sheaf::tokenizer
