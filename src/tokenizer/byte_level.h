#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "tokenizer/unicode.h"

// GPT-2's byte-level alphabet: one visible character for each byte, so that vocabularies of byte
// strings can be written as JSON. Bytes that Latin-1 shows stand for themselves; the others
// (control characters, space, soft hyphen) get U+0100 onwards, in order. See encoder.py of GPT-2.
namespace sheaf::tokenizer::byte_level {

// By byte.
const std::array<unicode::CodePoint, 256>& characters();
// The byte that `c` stands for, or -1.
int byte_of(unicode::CodePoint c);
// The bytes that a token in this alphabet stands for; nothing if it holds some other character.
std::optional<std::string> bytes_of(std::string_view token);

}  // namespace sheaf::tokenizer::byte_level
