#pragma once

#include <cstdint>

namespace sheaf::tokenizer {

// Eight ASCII characters at once; each byte of a word stands for itself.
constexpr std::uint64_t repeat(unsigned char byte) { return 0x0101010101010101ULL * byte; }

// True if all eight bytes are between ' ' and '~', the printable characters.
constexpr bool is_plain_ascii(std::uint64_t word) {
  return ((word | (word - repeat(' ')) | (word + repeat(1))) & repeat(0x80)) == 0;
}

}  // namespace sheaf::tokenizer
