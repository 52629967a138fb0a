#pragma once

#include <array>
#include <cstdint>

#include "tokenizer/code_point_map.h"
#include "tokenizer/normalizer.h"

namespace sheaf::tokenizer {

struct BertNormalizerOptions {
  bool clean_text = true;            // drop control characters, make all white space one kind
  bool handle_chinese_chars = true;  // put spaces around each
  bool strip_accents = true;         // decompose (NFD), drop non-spacing marks
  bool lowercase = true;
};

// BERT's normalizer. Its four steps each look at one character at a time, but for the order of
// marks that NFD imposes; so their composition is a table from code point to what is written for
// it.
class BertNormalizer final : public Normalizer {
 public:
  explicit BertNormalizer(BertNormalizerOptions options);
  static Result<std::unique_ptr<const Normalizer>> parse(const JsonField& field);

  void normalize(std::string_view text, TextBuffer& out) const override;
  // One step after the other, as Hugging Face does; tests hold normalize() against it.
  AlignedText normalize_aligned(const AlignedText& text) const override;
  std::size_t size_max(std::size_t size) const override;

 private:
  enum class Action : std::uint8_t {
    keep,
    drop,
    space,     // write a space
    surround,  // write a space, the character, a space
    replace,   // write `size` bytes of replacements_ from `offset`
    hangul,    // write the syllable's letters
    marks,     // sort what follows by combining class
  };
  struct Entry {
    Action action = Action::keep;
    std::uint8_t size = 0;
    std::uint16_t offset = 0;
    friend bool operator==(const Entry&, const Entry&) = default;
  };

  void set_replacements();
  void set_combining();
  void set_chinese();
  void set_cleaning();
  void set_ascii();
  // What decomposing, stripping and lower case make of `c`.
  std::string replacement(unicode::CodePoint c) const;
  Entry replace_by(std::string_view text);
  bool is_stripped(unicode::CodePoint c) const;
  bool keeps_marks(unicode::CodePoint c) const;

  const char* write_character(const char* p, const char* end, char*& out) const;
  const char* write_sorted_marks(const char* p, const char* end, char*& out) const;
  void write_lowered(unicode::CodePoint c, char*& out) const;

  BertNormalizerOptions options_;
  CodePointMap<Entry> entries_;
  std::string replacements_;
  std::array<char, 128> ascii_byte_ = {};
  std::array<std::uint8_t, 128> ascii_size_ = {};  // 0 where the character is dropped
};

}  // namespace sheaf::tokenizer
