#include "api/vector_form.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <vector>

#include "api/json_out.h"
#include "api/quantize.h"
#include "base/text.h"

namespace sheaf::api {
namespace {

constexpr std::string_view kForms[] = {"float", "int8", "uint8", "binary", "ubinary", "base64"};

void append_integers(std::string& out, const std::vector<std::int32_t>& values) {
  fmt::format_to(std::back_inserter(out), "[{}]", fmt::join(values, ","));
}

}  // namespace

Result<std::string_view> read_vector_form(std::string_view field, JsonValue value,
                                          std::string_view verb) {
  SHEAF_ASSIGN(const std::string_view name, read_text(field, value));
  const auto* known = std::find(std::begin(kForms), std::end(kForms), name);
  if (known != std::end(kForms)) return *known;
  return Error{ErrorCode::invalid_argument,
               fmt::format("{} {} {}; {} are known", field, verb, json_quote(excerpt(name)),
                           fmt::join(kForms, ", ")),
               std::string(field)};
}

void append_vector(std::string& out, std::string_view form, std::span<const float> vector) {
  if (form == "float") return append_floats(out, vector);
  if (form == "int8") return append_integers(out, to_int8(vector));
  if (form == "uint8") return append_integers(out, to_uint8(vector));
  if (form == "binary") return append_integers(out, to_binary(vector));
  if (form == "ubinary") return append_integers(out, to_ubinary(vector));
  out.push_back('"');
  append_base64(out, vector);
  out.push_back('"');
}

}  // namespace sheaf::api
