#include "model/spec/json_file.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <utility>
#include <vector>

#include "base/mapping.h"
#include "base/text_place.h"

namespace sheaf::model {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxJsonBytes = 16u << 20;

// What parse() throws from its callback; caught below.
struct Refused {
  std::string reason;
};

// Sees every parse event and refuses deep nesting and repeated keys, which json itself would take.
class Guard {
 public:
  explicit Guard(int max_depth) : max_depth_(max_depth) {}

  bool operator()(int depth, json::parse_event_t event, json& value) {
    if (depth > max_depth_) throw Refused{fmt::format("nested deeper than {}", max_depth_)};
    if (event == json::parse_event_t::object_start) {
      keys_.emplace_back();
    } else if (event == json::parse_event_t::object_end) {
      keys_.pop_back();
    } else if (event == json::parse_event_t::key) {
      const auto& key = value.get_ref<const std::string&>();
      if (!keys_.back().insert(key).second)
        throw Refused{fmt::format("field '{}' occurs twice", key)};
    }
    return true;
  }

 private:
  int max_depth_;
  std::vector<std::set<std::string>> keys_;
};

Error not_json(const std::string& file, const std::string& why) {
  return {ErrorCode::corrupt, fmt::format("{}: not JSON: {}", file, why)};
}

}  // namespace

Result<json> parse_json(std::string_view text, const std::string& file, int max_depth) {
  if (text.empty()) return Error{ErrorCode::corrupt, file + ": is empty"};
  try {
    return json::parse(text, Guard(max_depth));
  } catch (const Refused& refused) {
    return Error{ErrorCode::corrupt, file + ": " + refused.reason};
  } catch (const json::parse_error& error) {
    return not_json(file, line_and_column(text, error.byte == 0 ? 0 : error.byte - 1));
  } catch (const json::exception&) {  // of parsing, it is the only other one
    return not_json(file, "a number is too large");
  }
}

JsonObject::JsonObject(const json& value, std::string file, std::string path)
    : value_(&value), file_(std::move(file)), path_(std::move(path)) {}

Result<std::optional<json>> read_json_file(const std::string& folder, const std::string& name) {
  const std::string path = folder + "/" + name;
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return std::optional<json>();
  SHEAF_ASSIGN(const Mapping file, Mapping::map_file(path));
  if (file.size() > kMaxJsonBytes)
    return Error{ErrorCode::corrupt,
                 fmt::format("{}: {} bytes, more than {}", path, file.size(), kMaxJsonBytes)};
  SHEAF_ASSIGN(json value,
               parse_json({reinterpret_cast<const char*>(file.data()), file.size()}, path));
  return std::optional<json>(std::move(value));
}

Result<JsonObject> JsonObject::of(const json& value, std::string file, std::string path) {
  JsonObject object(value, std::move(file), std::move(path));
  if (value.is_object()) return object;
  const std::string_view field =
      std::string_view(object.path_).substr(0, object.path_.empty() ? 0 : object.path_.size() - 1);
  return Error{ErrorCode::corrupt,
               fmt::format("{}: {} is {}, not an object", object.file_,
                           field.empty() ? "the whole" : fmt::format("field '{}'", field),
                           value.type_name())};
}

const json* JsonObject::find(std::string_view field) const {
  const auto at = value_->find(field);
  return at == value_->end() || at->is_null() ? nullptr : &*at;
}

bool JsonObject::has(std::string_view field) const { return find(field) != nullptr; }

bool JsonObject::is_null(std::string_view field) const {
  const auto at = value_->find(field);
  return at != value_->end() && at->is_null();
}

Result<JsonObject> JsonObject::object(std::string_view field) const {
  const json* value = find(field);
  if (value == nullptr) return error(field, "is missing");
  return of(*value, file_, path_ + std::string(field) + ".");
}

Error JsonObject::error(std::string_view field, const std::string& complaint) const {
  return {ErrorCode::corrupt, fmt::format("{}: field '{}{}' {}", file_, path_, field, complaint)};
}

Error JsonObject::unsupported(std::string_view field, const std::string& complaint) const {
  Error error = this->error(field, complaint);
  error.code = ErrorCode::unsupported;
  return error;
}

Result<std::uint32_t> JsonObject::number(std::string_view field, std::uint32_t low,
                                         std::uint32_t high) const {
  const json* value = find(field);
  if (value == nullptr) return error(field, "is missing");
  if (!value->is_number_integer())
    return error(field, fmt::format("is {}, not a whole number", value->type_name()));
  // Negative numbers are kept signed, others unsigned.
  const bool negative = !value->is_number_unsigned() && value->get<std::int64_t>() < 0;
  if (negative || value->get<std::uint64_t>() < low || value->get<std::uint64_t>() > high)
    return error(field, fmt::format("is {}, not within {} to {}", value->dump(), low, high));
  return value->get<std::uint32_t>();
}

Result<std::uint32_t> JsonObject::number_or(std::string_view field, std::uint32_t low,
                                            std::uint32_t high, std::uint32_t otherwise) const {
  if (!has(field)) return otherwise;
  return number(field, low, high);
}

Result<double> JsonObject::real(std::string_view field, double low, double high) const {
  const json* value = find(field);
  if (value == nullptr) return error(field, "is missing");
  if (!value->is_number())
    return error(field, fmt::format("is {}, not a number", value->type_name()));
  const double number = value->get<double>();
  if (!(number >= low && number <= high))
    return error(field, fmt::format("is {}, not within {} to {}", number, low, high));
  return number;
}

Result<double> JsonObject::real_or(std::string_view field, double low, double high,
                                   double otherwise) const {
  if (!has(field)) return otherwise;
  return real(field, low, high);
}

Result<bool> JsonObject::boolean_or(std::string_view field, bool otherwise) const {
  const json* value = find(field);
  if (value == nullptr) return otherwise;
  if (!value->is_boolean())
    return error(field, fmt::format("is {}, not true or false", value->type_name()));
  return value->get<bool>();
}

Result<std::string> JsonObject::text(std::string_view field) const {
  const json* value = find(field);
  if (value == nullptr) return error(field, "is missing");
  if (!value->is_string())
    return error(field, fmt::format("is {}, not a string", value->type_name()));
  return value->get<std::string>();
}

Result<std::string> JsonObject::text_or(std::string_view field, std::string otherwise) const {
  if (!has(field)) return otherwise;
  return text(field);
}

}  // namespace sheaf::model
