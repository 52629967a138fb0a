#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "tokenizer/json_field.h"

namespace sheaf::tokenizer {

// The way back: joins tokens into text. Immutable.
class Decoder {
 public:
  virtual ~Decoder() = default;
  virtual std::string decode(const std::vector<std::string_view>& tokens) const = 0;

  // By its "type".
  static Result<std::unique_ptr<const Decoder>> parse(const JsonField& field);
};

}  // namespace sheaf::tokenizer
