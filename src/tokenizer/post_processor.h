#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "tokenizer/json_field.h"

namespace sheaf::tokenizer {

struct SpecialToken {
  std::int32_t id;
  std::string text;
};

// The last stage: the tokens that stand before and behind those of a single text. Every
// post-processor of BERT's kind comes down to this.
struct PostProcessor {
  std::vector<SpecialToken> before;
  std::vector<SpecialToken> after;

  std::size_t size() const { return before.size() + after.size(); }

  // Whether some token has this id. A post-processor may name no others: they would reach the model
  // as rows that its embedding matrix does not have.
  using IsKnownId = std::function<bool(std::int32_t)>;
  // By its "type".
  static Result<PostProcessor> parse(const JsonField& field, const IsKnownId& is_known);
};

}  // namespace sheaf::tokenizer
