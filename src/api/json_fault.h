#pragma once

#include <string>
#include <string_view>

namespace sheaf::api {

// ", line 2, column 3": where a refused body stops being JSON, or the place behind its end where
// something is missing there. Reads it once more, with a parser that knows where it stands, as
// simdjson's does not, and keeps nothing but the nesting. Empty for a body of more than a mebibyte,
// as nobody shall make a server read much twice, and where this parser finds no fault.
std::string place_of_json_fault(std::string_view body);

}  // namespace sheaf::api
