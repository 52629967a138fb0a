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

// How two texts that a model reads together are joined. Token types are 0 up to some place and 1
// from there on. By default nothing is added, and the second text is of type 1.
struct PairTemplate {
  std::vector<SpecialToken> before;   // the first text
  std::vector<SpecialToken> between;  // the two
  std::vector<SpecialToken> after;    // the second text
  std::size_t special_of_type_0 = 0;  // so many of the special tokens, counted from the front
  std::size_t texts_of_type_0 = 1;    // 1 or 2

  std::size_t size() const { return before.size() + between.size() + after.size(); }
};

// The last stage: the tokens that stand before and behind those of a single text, those around and
// between two, and what becomes of places. Every post-processor comes down to this.
struct PostProcessor {
  std::vector<SpecialToken> before;
  std::vector<SpecialToken> after;
  // Or why pairs cannot be encoded, though single texts can.
  Result<PairTemplate> pair = PairTemplate{};
  bool joins_pairs = false;              // `pair` is this post-processor's own, not the default
  std::vector<SpaceTrimming> trimmings;  // one after the other
  // To trimmings that follow, `before` are tokens of the text: BertProcessing counts them so.
  bool counts_special = false;

  std::size_t size() const { return before.size() + after.size(); }  // for a single text

  // Whether some token has this id. A post-processor may name no others: they would reach the model
  // as rows that its embedding matrix does not have.
  using IsKnownId = std::function<bool(std::int32_t)>;
  // By its "type".
  static Result<PostProcessor> parse(const JsonField& field, const IsKnownId& is_known);
};

}  // namespace sheaf::tokenizer
