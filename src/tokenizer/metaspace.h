#pragma once

#include <string>

#include "tokenizer/pre_tokenizer.h"

namespace sheaf::tokenizer {

// What the pre-tokenizer and the decoder of that name are set to.
struct MetaspaceOptions {
  enum class Prepend { always, first, never };

  std::string replacement = "\u2581";  // one character: stands for a space
  Prepend prepend = Prepend::always;
  bool split = true;

  // Reads the older form too, which has "add_prefix_space" instead of "prepend_scheme".
  static Result<MetaspaceOptions> parse(const JsonField& field);
};

// SentencePiece's way: writes the replacement for each space and before each piece that does not
// begin with one (`first`: only where the text itself begins), then cuts before each replacement.
class Metaspace final : public PreTokenizer {
 public:
  explicit Metaspace(MetaspaceOptions options) : options_(std::move(options)) {}
  static Result<std::unique_ptr<const PreTokenizer>> parse(const JsonField& field);

  // Only cuts: text that was rewritten already.
  Status split(std::string_view text, std::vector<Piece>& pieces) const override;
  Status apply(PreTokenized& text) const override;
  // Normalizers may move what stands at the beginning.
  bool needs_origins() const override {
    return options_.prepend == MetaspaceOptions::Prepend::first;
  }

 private:
  bool wants_prefix(const PreTokenized& text, Piece piece) const;
  char* rewrite(const PreTokenized& text, Piece piece, char* out) const;
  void rewrite_origins(PreTokenized& text) const;

  MetaspaceOptions options_;
};

}  // namespace sheaf::tokenizer
