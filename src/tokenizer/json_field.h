#pragma once

#include <simdjson.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace sheaf::tokenizer {

// A value inside tokenizer.json together with its path ("model.vocab"), so that every error can
// name the field at fault. A view: valid while the parsed document lives.
class JsonField {
 public:
  JsonField(simdjson::dom::element element, std::string path)
      : element_(element), path_(std::move(path)) {}

  const std::string& path() const { return path_; }

  // "tokenizer.json: <path>: <problem>", of kind corrupt.
  Error error(std::string_view problem) const;
  // The same, of kind unsupported: nothing is wrong with the file.
  Error unsupported(std::string_view problem) const;
  // `type` is not among the names this build knows; of kind unsupported.
  Error unknown_type(std::string_view type, std::string_view known) const;

  // The member of this object. A key that appears twice is an error, since readers disagree on its
  // value.
  Result<JsonField> get(std::string_view key) const;
  // The same, but nothing where the member is absent or null.
  Result<std::optional<JsonField>> find(std::string_view key) const;

  // The value, if it has that type. Strings are well-formed UTF-8.
  Result<std::string_view> string() const;
  Result<bool> boolean() const;
  Result<std::int32_t> token_id() const;  // 0 to 2^31 - 1
  Result<std::uint64_t> size() const;
  Result<double> number() const;
  Result<simdjson::dom::object> object() const;
  Result<std::vector<JsonField>> array() const;
  // The same without a path for each item, which would be slow for lists of many thousands.
  Result<simdjson::dom::array> elements() const;
  // Members in file order, each with its own path.
  Result<std::vector<std::pair<std::string_view, JsonField>>> members() const;

  // Shorthands for get(key) and its value.
  Result<std::string_view> string(std::string_view key) const;
  Result<bool> boolean(std::string_view key) const;

 private:
  Error wrong_type(std::string_view expected) const;

  simdjson::dom::element element_;
  std::string path_;
};

// The text in quotes, shortened when long, for error messages.
std::string in_quotes(std::string_view text);

}  // namespace sheaf::tokenizer
