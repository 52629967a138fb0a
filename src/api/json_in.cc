#include "api/json_in.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "api/http.h"
#include "api/json_fault.h"
#include "base/text.h"

namespace sheaf::api {
namespace {

using simdjson::dom::element_type;

static_assert(kBodyPadding >= simdjson::SIMDJSON_PADDING);

// A parser keeps about ten bytes for each byte of the largest body it has read, so large bodies
// get one of their own that is freed with the next body.
constexpr std::size_t kKeptCapacity = 1u << 20;

struct ThreadParsers {
  simdjson::dom::parser kept;
  std::unique_ptr<simdjson::dom::parser> large;
};

simdjson::dom::parser* parser_for(std::size_t bytes) {
  thread_local ThreadParsers parsers;
  parsers.large.reset();
  if (bytes <= kKeptCapacity) {
    if (parsers.kept.capacity() < bytes || parsers.kept.capacity() == 0) {
      if (parsers.kept.allocate(std::max<std::size_t>(bytes, 4096), kJsonDepthMax)) return nullptr;
    }
    return &parsers.kept;
  }
  parsers.large = std::make_unique<simdjson::dom::parser>();
  if (parsers.large->allocate(bytes, kJsonDepthMax)) return nullptr;
  return parsers.large.get();
}

std::string_view describe(JsonValue value) {
  switch (value.type()) {
    case element_type::ARRAY:
      return "a list";
    case element_type::OBJECT:
      return "an object";
    case element_type::STRING:
      return "a text";
    case element_type::BOOL:
      return "a boolean";
    case element_type::NULL_VALUE:
      return "null";
    default:
      return "a number";
  }
}

Error wrong_type(std::string_view field, JsonValue value, std::string_view expected) {
  return wrong(field, fmt::format("{} is {}; {} is expected", field, describe(value), expected));
}

Error json_error(simdjson::error_code code, std::string_view body) {
  switch (code) {
    case simdjson::EMPTY:
      return {ErrorCode::invalid_argument, "the body is empty; a JSON object is expected"};
    case simdjson::UTF8_ERROR:
      return {ErrorCode::invalid_argument,
              "the body is not valid UTF-8" + place_of_json_fault(body)};
    case simdjson::DEPTH_ERROR:
      return {ErrorCode::invalid_argument,
              fmt::format("the body is nested deeper than {} levels", kJsonDepthMax)};
    case simdjson::STRING_ERROR:
      return {
          ErrorCode::invalid_argument,
          fmt::format("the body of {} bytes is not JSON{}: in a text there is an unknown escape "
                      "or half of a surrogate pair",
                      body.size(), place_of_json_fault(body))};
    default:
      return {ErrorCode::invalid_argument,
              fmt::format("the body of {} bytes is not JSON{}: {}", body.size(),
                          place_of_json_fault(body), simdjson::error_message(code))};
  }
}

bool is_number(JsonValue value) {
  return value.is<std::int64_t>() || value.is<std::uint64_t>() || value.is<double>();
}

Error ids_refused(std::string_view field) {
  return {ErrorCode::invalid_argument,
          fmt::format("{} holds token ids, which this route refuses because clients send ids of "
                      "another model's vocabulary: send text (LangChain: OpenAIEmbeddings("
                      "check_embedding_ctx_length=False)) or serve with --allow-token-ids",
                      field),
          std::string(field)};
}

// `expected` is what a message says where ids are refused.
Result<router::Input> read_input(const std::string& field, JsonValue value, const InputRules& rules,
                                 std::string_view expected) {
  if (std::string_view text; value.get(text) == simdjson::SUCCESS) {
    return router::Input(std::in_place_type<std::string>, text);
  }
  if (!value.is_array())
    return wrong_type(field, value, rules.allow_ids ? "a text or a list of token ids" : expected);
  if (!rules.allow_ids) return ids_refused(field);
  SHEAF_ASSIGN(std::vector<std::int32_t> ids, read_ids(field, value));
  if (ids.empty()) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("{} is an empty list of token ids", field), field};
  }
  return router::Input(std::move(ids));
}

}  // namespace

Error wrong(std::string_view field, std::string message) {
  return {ErrorCode::invalid_argument, std::move(message), std::string(field)};
}

Result<simdjson::dom::object> parse_json_object(std::string_view body) {
  simdjson::dom::parser* parser = parser_for(body.size());
  if (parser == nullptr) {
    return Error{ErrorCode::too_large,
                 fmt::format("no memory to parse a body of {} bytes", body.size())};
  }
  JsonValue root;
  if (auto code = parser->parse(body.data(), body.size(), /*realloc_if_needed=*/false).get(root)) {
    return json_error(code, body);
  }
  simdjson::dom::object object;
  if (root.get(object)) return wrong_type("the body", root, "a JSON object");
  return object;
}

Error contradiction(std::string_view field, JsonValue value, std::string_view other,
                    JsonValue other_value) {
  return {
      ErrorCode::invalid_argument,
      fmt::format("{} is {} and {} is {}, which contradict each other; leave one out", field,
                  excerpt(simdjson::minify(value)), other, excerpt(simdjson::minify(other_value))),
      std::string(other)};
}

Result<bool> read_bool(std::string_view field, JsonValue value) {
  if (bool flag; value.get(flag) == simdjson::SUCCESS) return flag;
  if (std::string_view text; value.get(text) == simdjson::SUCCESS) {
    if (equal_ignoring_case(text, "true")) return true;
    if (equal_ignoring_case(text, "false")) return false;
  }
  return wrong_type(field, value, "true or false");
}

Result<std::uint64_t> read_count(std::string_view field, JsonValue value) {
  if (std::uint64_t count; value.get(count) == simdjson::SUCCESS) return count;
  if (std::int64_t number; value.get(number) == simdjson::SUCCESS) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("{} is {}; it cannot be negative", field, number), std::string(field)};
  }
  if (double number; value.get(number) == simdjson::SUCCESS)
    return wrong(field, fmt::format("{} is {}; a whole number is expected", field, number));
  return wrong_type(field, value, "a whole number");
}

Result<std::uint32_t> read_token_limit(std::string_view field, JsonValue value) {
  if (std::int64_t limit; value.get(limit) == simdjson::SUCCESS && limit < 1) {
    if (limit == -1) return 0;
    return wrong(field, fmt::format("{} is {}; a limit of at least 1 token is expected, or -1 for "
                                    "the model's own",
                                    field, limit));
  }
  SHEAF_ASSIGN(const std::uint64_t limit, read_count(field, value));
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint32_t>::max();
  return static_cast<std::uint32_t>(std::min(limit, kMost));
}

Result<std::string_view> read_text(std::string_view field, JsonValue value) {
  if (std::string_view text; value.get(text) == simdjson::SUCCESS) return text;
  return wrong_type(field, value, "a text");
}

Result<tokenizer::Side> read_side(std::string_view field, JsonValue value) {
  if (std::string_view text; value.get(text) == simdjson::SUCCESS) {
    if (equal_ignoring_case(text, "left")) return tokenizer::Side::left;
    if (equal_ignoring_case(text, "right")) return tokenizer::Side::right;
    return wrong(field, fmt::format("{} is {}; \"left\" or \"right\" is expected", field,
                                    json_quote(excerpt(text))));
  }
  return wrong_type(field, value, "\"left\" or \"right\"");
}

Result<std::vector<std::int32_t>> read_ids(std::string_view field, JsonValue value) {
  simdjson::dom::array array;
  if (value.get(array)) return wrong_type(field, value, "a list of token ids");
  std::vector<std::int32_t> ids;
  ids.reserve(array.size());
  for (JsonValue item : array) {
    std::int64_t id = 0;
    if (item.get(id)) {
      return wrong_type(fmt::format("{}[{}]", field, ids.size()), item, "a token id");
    }
    if (id < 0 || id > std::numeric_limits<std::int32_t>::max()) {
      return Error{ErrorCode::invalid_argument,
                   fmt::format("{}[{}] is {}, which is no token id", field, ids.size(), id),
                   std::string(field)};
    }
    ids.push_back(std::int32_t(id));
  }
  return ids;
}

Result<std::vector<router::Input>> read_inputs(std::string_view field, JsonValue value,
                                               const InputRules& rules) {
  std::vector<router::Input> inputs;
  simdjson::dom::array array;
  const bool list = value.get(array) == simdjson::SUCCESS;
  if (!list || (array.begin() != array.end() && is_number(*array.begin()))) {
    SHEAF_ASSIGN(router::Input input,
                 read_input(std::string(field), value, rules, "a text or a list of texts"));
    inputs.push_back(std::move(input));
    return inputs;
  }
  inputs.reserve(std::min<std::size_t>(array.size(), rules.texts_max));
  for (JsonValue item : array) {
    if (inputs.size() == rules.texts_max) {
      return Error{ErrorCode::too_large,
                   fmt::format("{} holds {} texts; a request may hold {}", field, array.size(),
                               rules.texts_max),
                   std::string(field)};
    }
    const std::string name = fmt::format("{}[{}]", field, inputs.size());
    SHEAF_ASSIGN(router::Input input, read_input(name, item, rules, "a text"));
    inputs.push_back(std::move(input));
  }
  return inputs;
}

}  // namespace sheaf::api
