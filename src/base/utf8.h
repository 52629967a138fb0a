#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace sheaf {

// Length in bytes (1 to 4) of the well-formed UTF-8 sequence at the start of `text`, or 0 if there
// is none (Unicode 15, table 3-7: no overlong forms, no surrogates, nothing above U+10FFFF).
std::size_t valid_utf8_sequence(std::string_view text);

// Offset of the first byte that is not part of well-formed UTF-8, or npos.
std::size_t find_invalid_utf8(std::string_view text);

// The text with U+FFFD in place of each byte that is not part of well-formed UTF-8.
std::string to_valid_utf8(std::string text);

// Code points of well-formed UTF-8.
std::size_t count_characters(std::string_view text);

}  // namespace sheaf
