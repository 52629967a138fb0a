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

  std::vector<Piece> spare;  // for those who build new pieces while they read the old ones
  std::string rewritten;     // where `text` lies once it is no longer the text given
};

// The second stage: cuts normalized text into the pieces that the model sees one by one. Immutable.
class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  // Appends the pieces of `text`, none of them empty, in order.
  virtual void split(std::string_view text, std::vector<Piece>& pieces) const = 0;
  // Splits each piece. Overridden by those that change the text as well.
  virtual void apply(PreTokenized& text) const;
  // Whether apply() asks for origins even on the hot path, to know what stands at the very
  // beginning; without them nothing does.
  virtual bool needs_origins() const { return false; }

  // By its "type".
  static Result<std::unique_ptr<const PreTokenizer>> parse(const JsonField& field);
};

}  // namespace sheaf::tokenizer
