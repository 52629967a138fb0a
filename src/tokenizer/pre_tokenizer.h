#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "tokenizer/json_field.h"
#include "tokenizer/piece.h"

namespace sheaf::tokenizer {

// Normalized text on its way to the model: what the model shall read, and the pieces of it.
struct PreTokenized {
  std::string_view text;
  std::vector<Piece> pieces;  // none of them empty, in order
  // One a byte of `text`, kept by whoever changes the text; nobody does if null, as on the hot
  // path.
  std::vector<Piece>* origins = nullptr;

  // Makes all of `whole` one piece, or none if it is empty.
  void start(std::string_view whole);
  // Puts `prefix` before each piece for which wanted(piece) holds. It has the origin of the
  // character that it stands before, as in Hugging Face.
  template <class Wanted>
  void prefix_pieces(std::string_view prefix, Wanted wanted);

  std::vector<Piece> spare;  // for those who build new pieces while they read the old ones
  std::string rewritten;     // where `text` lies once it is no longer the text given
};

// The second stage: cuts normalized text into the pieces that the model sees one by one. Immutable.
class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  // Appends the pieces of `text`, none of them empty, in order. Fails where a regular expression of
  // the file loses itself in the text (regex.h).
  virtual Status split(std::string_view text, std::vector<Piece>& pieces) const = 0;
  // Splits each piece; `text` is spoilt if that fails. Overridden by those that change the text as
  // well.
  virtual Status apply(PreTokenized& text) const;
  // True if the model's vocabulary is written in the byte-level alphabet (byte_level.h). The text
  // itself stays as it is: the model reads bytes.
  virtual bool is_byte_level() const { return false; }
  // Whether apply() asks for origins even on the hot path, to know what stands at the very
  // beginning; without them nothing does.
  virtual bool needs_origins() const { return false; }

  // By its "type".
  static Result<std::unique_ptr<const PreTokenizer>> parse(const JsonField& field);
};

template <class Wanted>
void PreTokenized::prefix_pieces(std::string_view prefix, Wanted wanted) {
  bool any = false;
  for (const Piece& piece : pieces) any = any || wanted(piece.of(text));
  if (!any) return;
  std::string result;
  std::vector<Piece> result_origins;
  for (Piece& piece : pieces) {
    const std::size_t begin = result.size();
    if (wanted(piece.of(text))) {
      result += prefix;
      if (origins != nullptr)
        result_origins.insert(result_origins.end(), prefix.size(), (*origins)[piece.begin]);
    }
    result += piece.of(text);
    if (origins != nullptr) {
      const auto from = origins->begin();
      result_origins.insert(result_origins.end(), from + static_cast<std::ptrdiff_t>(piece.begin),
                            from + static_cast<std::ptrdiff_t>(piece.end));
    }
    piece = {begin, result.size()};
  }
  rewritten = std::move(result);
  text = rewritten;
  if (origins != nullptr) *origins = std::move(result_origins);
}

}  // namespace sheaf::tokenizer
