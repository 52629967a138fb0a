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

// That the places of tokens leave out the spaces at their ends (space_trimming.h).
struct SpaceTrimming {
  bool add_prefix_space = false;  // the first space of the text was put there by the tokenizer
  bool behind_special = false;    // special tokens already count among those of the text
};

// The last stage: the tokens that stand before and behind those of a single text, and what becomes
// of places. Every post-processor comes down to this.
struct PostProcessor {
  std::vector<SpecialToken> before;
  std::vector<SpecialToken> after;
  std::vector<SpaceTrimming> trimmings;  // one after the other
  // To trimmings that follow, `before` are tokens of the text: BertProcessing counts them so.
  bool counts_special = false;

  std::size_t size() const { return before.size() + after.size(); }

  // Whether some token has this id. A post-processor may name no others: they would reach the model
  // as rows that its embedding matrix does not have.
  using IsKnownId = std::function<bool(std::int32_t)>;
  // By its "type".
  static Result<PostProcessor> parse(const JsonField& field, const IsKnownId& is_known);
};

}  // namespace sheaf::tokenizer
