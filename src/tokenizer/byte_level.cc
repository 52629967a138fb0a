#include "tokenizer/byte_level.h"

namespace sheaf::tokenizer::byte_level {
namespace {

constexpr unicode::CodePoint kFirstMoved = 0x100;

constexpr bool shows_itself(unsigned byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte != 0xAD);
}

constexpr std::array<unicode::CodePoint, 256> make_characters() {
  std::array<unicode::CodePoint, 256> result = {};
  unicode::CodePoint next = kFirstMoved;
  for (unsigned byte = 0; byte < 256; ++byte) result[byte] = shows_itself(byte) ? byte : next++;
  return result;
}

constexpr std::array<unicode::CodePoint, 256> kCharacters = make_characters();

constexpr auto make_bytes() {
  std::array<std::int16_t, kFirstMoved + 256> result = {};
  for (auto& byte : result) byte = -1;
  for (unsigned byte = 0; byte < 256; ++byte)
    result[kCharacters[byte]] = static_cast<std::int16_t>(byte);
  return result;
}

constexpr auto kBytes = make_bytes();

}  // namespace

const std::array<unicode::CodePoint, 256>& characters() { return kCharacters; }

int byte_of(unicode::CodePoint c) { return c < kBytes.size() ? kBytes[c] : -1; }

std::optional<std::string> bytes_of(std::string_view token) {
  std::string bytes;
  const char* p = token.data();
  while (p < token.data() + token.size()) {
    const int byte = byte_of(unicode::decode_utf8(p));
    if (byte < 0) return std::nullopt;
    bytes += static_cast<char>(byte);
  }
  return bytes;
}

}  // namespace sheaf::tokenizer::byte_level
