#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "tokenizer/piece.h"

namespace sheaf::tokenizer {

// The regular expressions with which the popular byte-level tokenizers cut text into words, written
// out by hand; word_scanner_test.cc holds them against the expressions. Every character is part of
// some word.
class WordScanner {
 public:
  enum class Kind {
    gpt2,    // also RoBERTa, ModernBERT
    llama3,  // also cl100k
    qwen2,   // also Qwen3: as Llama 3, but digits one by one
  };
  explicit WordScanner(Kind kind) : kind_(kind) {}

  // The scanner for exactly this expression, if there is one.
  static std::optional<WordScanner> find(std::string_view expression);
  static std::string_view expression_of(Kind kind);

  // Appends the words of well-formed `text`.
  void split(std::string_view text, std::vector<Piece>& words) const;

 private:
  Kind kind_;
};

}  // namespace sheaf::tokenizer
