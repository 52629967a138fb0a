#include "base/utf8.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>

namespace sheaf {

std::size_t valid_utf8_sequence(std::string_view text) {
  if (text.empty()) return 0;
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto continuation = [&](std::size_t i) {
    return i < text.size() && (byte(i) & 0xC0) == 0x80;
  };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return continuation(1) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    if (!continuation(1) || !continuation(2)) return 0;
    if (lead == 0xE0 && byte(1) < 0xA0) return 0;
    if (lead == 0xED && byte(1) > 0x9F) return 0;
    return 3;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    if (!continuation(1) || !continuation(2) || !continuation(3)) return 0;
    if (lead == 0xF0 && byte(1) < 0x90) return 0;
    if (lead == 0xF4 && byte(1) > 0x8F) return 0;
    return 4;
  }
  return 0;
}

namespace {

// Whether the first six bytes are two characters of U+1000 to U+CFFF, which have no exceptions:
// most of what Asia writes. The lead bytes are E1 to EC, looked at side by side.
bool begins_with_two_of_three_bytes(std::uint64_t little_endian) {
  constexpr std::uint64_t kFixedBits = 0x0000'C0C0'F0C0'C0F0, kFixed = 0x0000'8080'E080'80E0;
  constexpr std::uint64_t kLow = 0x0F00'000F, kCarry = 0x1000'0010, kThree = 0x0300'0003;
  if ((little_endian & kFixedBits) != kFixed) return false;
  const std::uint64_t low = little_endian & kLow;
  const std::uint64_t above_e0 = low + kLow, above_ec = low + kThree;
  return (above_e0 & ~above_ec & kCarry) == kCarry;
}

}  // namespace

std::size_t find_invalid_utf8(std::string_view text) {
  std::size_t i = 0;
  while (i < text.size()) {
    if (i + 8 <= text.size()) {
      std::uint64_t word;
      std::memcpy(&word, text.data() + i, 8);
      if ((word & 0x8080808080808080ULL) == 0) {
        i += 8;
        continue;
      }
      if (std::endian::native == std::endian::little && begins_with_two_of_three_bytes(word)) {
        i += 6;
        continue;
      }
      // One such character, before what is none.
      const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(text[i + at]); };
      if (byte(0) >= 0xE1 && byte(0) <= 0xEC && (byte(1) & 0xC0) == 0x80 &&
          (byte(2) & 0xC0) == 0x80) {
        i += 3;
        continue;
      }
    }
    const std::size_t length = valid_utf8_sequence(text.substr(i));
    if (length == 0) return i;
    i += length;
  }
  return std::string_view::npos;
}

std::string to_valid_utf8(std::string text) {
  std::size_t at = find_invalid_utf8(text);
  while (at < text.size()) {
    text.replace(at, 1, "\xEF\xBF\xBD");
    const std::size_t next = find_invalid_utf8(std::string_view(text).substr(at));
    if (next == std::string_view::npos) break;
    at += next;
  }
  return text;
}

std::size_t count_characters(std::string_view text) {
  const auto begins_one = [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; };
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), begins_one));
}

}  // namespace sheaf
