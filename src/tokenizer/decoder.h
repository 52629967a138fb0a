#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "tokenizer/json_field.h"

namespace sheaf::tokenizer {

// The way back: rewrites tokens into parts of a text, which then only need to be joined. Immutable.
class Decoder {
 public:
  virtual ~Decoder() = default;
  virtual void decode(std::vector<std::string>& tokens) const = 0;
  // At most this many times as many bytes come out, but for a few more a token.
  virtual std::size_t growth_max() const { return 1; }

  // By its "type".
  static Result<std::unique_ptr<const Decoder>> parse(const JsonField& field);
};

}  // namespace sheaf::tokenizer
