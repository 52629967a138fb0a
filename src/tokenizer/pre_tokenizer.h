#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "tokenizer/json_field.h"
#include "tokenizer/piece.h"

namespace sheaf::tokenizer {

// The second stage: cuts normalized text into the pieces that the model sees one by one. Immutable.
class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  // Appends the pieces of `text`, none of them empty, in order.
  virtual void split(std::string_view text, std::vector<Piece>& pieces) const = 0;

  // By its "type".
  static Result<std::unique_ptr<const PreTokenizer>> parse(const JsonField& field);
};

}  // namespace sheaf::tokenizer
