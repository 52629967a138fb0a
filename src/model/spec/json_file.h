#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sheaf::model {

// Strict JSON of at most `max_depth` nested values, without keys that occur twice. `file` is what
// errors call it.
Result<nlohmann::json> parse_json(std::string_view text, const std::string& file,
                                  int max_depth = 32);

// A small JSON file of a model's folder; `name` may hold a subfolder. Nothing if it does not exist.
Result<std::optional<nlohmann::json>> read_json_file(const std::string& folder,
                                                     const std::string& name);

// An object of a file, read field by field; errors name file and field. Keeps references to its
// arguments.
class JsonObject {
 public:
  // Refuses anything but an object. `path` is put before field names ("3." for the fourth module).
  static Result<JsonObject> of(const nlohmann::json& value, std::string file,
                               std::string path = "");

  bool has(std::string_view field) const;                    // present and not null
  const nlohmann::json* find(std::string_view field) const;  // null when absent or null
  bool is_null(std::string_view field) const;                // present, and null

  // Required; an object whose fields errors name "<field>.<its field>".
  Result<JsonObject> object(std::string_view field) const;

  // Required; whole number within [low, high].
  Result<std::uint32_t> number(std::string_view field, std::uint32_t low, std::uint32_t high) const;
  Result<std::uint32_t> number_or(std::string_view field, std::uint32_t low, std::uint32_t high,
                                  std::uint32_t otherwise) const;
  Result<double> real(std::string_view field, double low, double high) const;
  Result<double> real_or(std::string_view field, double low, double high, double otherwise) const;
  Result<bool> boolean_or(std::string_view field, bool otherwise) const;
  Result<std::string> text(std::string_view field) const;
  Result<std::string> text_or(std::string_view field, std::string otherwise) const;

  // "<file>: field '<field>' <complaint>", of kind corrupt.
  Error error(std::string_view field, const std::string& complaint) const;
  // The same, of kind unsupported: the file is well, but this is not built.
  Error unsupported(std::string_view field, const std::string& complaint) const;

 private:
  JsonObject(const nlohmann::json& value, std::string file, std::string path);
  const nlohmann::json* value_;
  std::string file_;
  std::string path_;
};

}  // namespace sheaf::model
