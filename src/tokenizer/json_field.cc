#include "tokenizer/json_field.h"

#include <fmt/format.h>

#include <limits>

#include "base/text.h"

namespace sheaf::tokenizer {
namespace {

std::string_view type_name(simdjson::dom::element element) {
  using simdjson::dom::element_type;
  switch (element.type()) {
    case element_type::ARRAY:
      return "an array";
    case element_type::OBJECT:
      return "an object";
    case element_type::INT64:
    case element_type::UINT64:
    case element_type::DOUBLE:
      return "a number";
    case element_type::STRING:
      return "a string";
    case element_type::BOOL:
      return "a boolean";
    case element_type::NULL_VALUE:
      return "null";
  }
  return "of an unknown type";
}

}  // namespace

std::string in_quotes(std::string_view text) {
  constexpr std::size_t kShown = 60;
  if (text.size() <= kShown) return json_quote(text);
  std::size_t end = kShown;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return fmt::format("{}... ({} bytes)", json_quote(text.substr(0, end)), text.size());
}

Error JsonField::error(std::string_view problem) const {
  if (path_.empty()) return {ErrorCode::corrupt, fmt::format("tokenizer.json: {}", problem)};
  return {ErrorCode::corrupt, fmt::format("tokenizer.json: {}: {}", path_, problem)};
}

Error JsonField::unsupported(std::string_view problem) const {
  return {ErrorCode::unsupported, error(problem).message};
}

Error JsonField::unknown_type(std::string_view type, std::string_view known) const {
  return {ErrorCode::unsupported,
          fmt::format("tokenizer.json: {}.type: {} is not supported (known: {})", path_,
                      in_quotes(type), known)};
}

Error JsonField::wrong_type(std::string_view expected) const {
  return error(fmt::format("must be {}, is {}", expected, type_name(element_)));
}

Result<std::optional<JsonField>> JsonField::find(std::string_view key) const {
  SHEAF_ASSIGN(const simdjson::dom::object members, object());
  std::optional<JsonField> found;
  bool seen = false;
  for (const auto& [name, value] : members) {
    if (name != key) continue;
    JsonField field(value, path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key));
    if (seen) return field.error("appears twice");
    seen = true;
    if (!value.is_null()) found = std::move(field);
  }
  return found;
}

Result<JsonField> JsonField::get(std::string_view key) const {
  SHEAF_ASSIGN(std::optional<JsonField> field, find(key));
  if (!field) return error(fmt::format("{} is missing", in_quotes(key)));
  return std::move(*field);
}

Result<std::string_view> JsonField::string() const {
  std::string_view value;
  if (element_.get(value) != simdjson::SUCCESS) return wrong_type("a string");
  return value;
}

Result<bool> JsonField::boolean() const {
  bool value = false;
  if (element_.get(value) != simdjson::SUCCESS) return wrong_type("a boolean");
  return value;
}

Result<std::int32_t> JsonField::token_id() const {
  std::uint64_t value = 0;
  if (element_.get(value) != simdjson::SUCCESS ||
      value > std::uint64_t{std::numeric_limits<std::int32_t>::max()}) {
    return error("must be a token id, a whole number from 0 to 2147483647");
  }
  return static_cast<std::int32_t>(value);
}

Result<std::uint64_t> JsonField::size() const {
  std::uint64_t value = 0;
  if (element_.get(value) != simdjson::SUCCESS) return error("must be a whole number, 0 or more");
  return value;
}

Result<double> JsonField::number() const {
  double value = 0;
  if (element_.get(value) != simdjson::SUCCESS) return wrong_type("a number");
  return value;
}

Result<simdjson::dom::object> JsonField::object() const {
  simdjson::dom::object value;
  if (element_.get(value) != simdjson::SUCCESS) return wrong_type("an object");
  return value;
}

Result<simdjson::dom::array> JsonField::elements() const {
  simdjson::dom::array value;
  if (element_.get(value) != simdjson::SUCCESS) return wrong_type("an array");
  return value;
}

Result<std::vector<JsonField>> JsonField::array() const {
  SHEAF_ASSIGN(const simdjson::dom::array value, elements());
  std::vector<JsonField> items;
  for (const simdjson::dom::element item : value) {
    items.emplace_back(item, fmt::format("{}[{}]", path_, items.size()));
  }
  return items;
}

Result<std::vector<std::pair<std::string_view, JsonField>>> JsonField::members() const {
  SHEAF_ASSIGN(const simdjson::dom::object value, object());
  std::vector<std::pair<std::string_view, JsonField>> items;
  for (const auto& [name, member] : value) {
    items.emplace_back(name, JsonField(member, fmt::format("{}[{}]", path_, in_quotes(name))));
  }
  return items;
}

Result<std::string_view> JsonField::string(std::string_view key) const {
  SHEAF_ASSIGN(const JsonField field, get(key));
  return field.string();
}

Result<bool> JsonField::boolean(std::string_view key) const {
  SHEAF_ASSIGN(const JsonField field, get(key));
  return field.boolean();
}

}  // namespace sheaf::tokenizer
