#pragma once

#include <simdjson.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "router/router.h"
#include "tokenizer/tokenizer.h"

// Readers of JSON bodies. Errors are invalid_argument (too_large for a list beyond its limit), name
// the field and carry it as Error::param. Null fields count as absent: the callers skip them.
namespace sheaf::api {

inline constexpr std::size_t kJsonDepthMax = 64;

using JsonValue = simdjson::dom::element;

// The body as one JSON object, all of it checked (syntax, UTF-8, depth). `body` is followed by
// kBodyPadding readable bytes. The object lives until the next call on this thread.
Result<simdjson::dom::object> parse_json_object(std::string_view body);

// What `field` says cannot be: of kind invalid_argument, and of that field.
Error wrong(std::string_view field, std::string message);

Result<bool> read_bool(std::string_view field, JsonValue value);  // also "true" and "false"
Result<std::uint64_t> read_count(std::string_view field, JsonValue value);
// A limit of tokens, at least 1; what is more than any model has is cut down. vLLM's -1, no limit
// but the model's, is 0.
Result<std::uint32_t> read_token_limit(std::string_view field, JsonValue value);
Result<std::string_view> read_text(std::string_view field, JsonValue value);
Result<tokenizer::Side> read_side(std::string_view field, JsonValue value);  // left, Right, …
Result<std::vector<std::int32_t>> read_ids(std::string_view field, JsonValue value);

// What a field has said, for others that mean the same in another dialect's words: truncate,
// truncation and truncate_prompt_tokens. Views into the body.
template <class Value>
struct Said {
  std::string_view field;
  JsonValue json;
  Value value;
};
Error contradiction(std::string_view field, JsonValue value, std::string_view other,
                    JsonValue other_value);
// Keeps what `field` says. Refused, naming both, is what an earlier field contradicts.
template <class Value>
Status agree(std::optional<Said<Value>>& said, std::string_view field, JsonValue json,
             Value value) {
  if (said && !(said->value == value)) return contradiction(said->field, said->json, field, json);
  said = Said<Value>{field, json, std::move(value)};
  return {};
}

struct InputRules {
  bool allow_ids = true;
  std::uint32_t texts_max = 0;
};
// Text, ids, list of texts, list of ids' lists, or a mixture. An empty list gives no input.
Result<std::vector<router::Input>> read_inputs(std::string_view field, JsonValue value,
                                               const InputRules& rules);

}  // namespace sheaf::api
