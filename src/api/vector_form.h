#pragma once

#include <span>
#include <string>
#include <string_view>

#include "api/json_in.h"

// The forms in which clients ask for vectors: float, base64 (of float32, little-endian), and those
// of quantize.h as whole numbers: int8, uint8, binary, ubinary.
namespace sheaf::api {

// One of them by its name, which lives on; `verb` joins the field to it in a refusal.
Result<std::string_view> read_vector_form(std::string_view field, JsonValue value,
                                          std::string_view verb = "is");

// A list of numbers, or a text.
void append_vector(std::string& out, std::string_view form, std::span<const float> vector);

}  // namespace sheaf::api
