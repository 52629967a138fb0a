#include "tokenizer/byte_fallback_decoder.h"

#include <charconv>
#include <optional>
#include <string_view>

#include "base/utf8.h"

namespace sheaf::tokenizer {
namespace {

std::optional<char> byte_of(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return std::nullopt;
  const std::string_view digits = token.substr(token[3] == '+' ? 4 : 3, token[3] == '+' ? 1 : 2);
  unsigned value = 0;  // Rust's numbers may have a plus sign
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return static_cast<char>(value);
}

}  // namespace

void ByteFallbackDecoder::decode(std::vector<std::string>& tokens) const {
  std::vector<std::string> result;
  std::string bytes;
  const auto finish_bytes = [&] {
    if (bytes.empty()) return;
    if (find_invalid_utf8(bytes) == std::string_view::npos) {
      result.push_back(bytes);
    } else {
      result.insert(result.end(), bytes.size(), "\uFFFD");
    }
    bytes.clear();
  };
  for (std::string& token : tokens) {
    if (const auto byte = byte_of(token)) {
      bytes += *byte;
      continue;
    }
    finish_bytes();
    result.push_back(std::move(token));
  }
  finish_bytes();
  tokens = std::move(result);
}

}  // namespace sheaf::tokenizer
