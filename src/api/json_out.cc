#include "api/json_out.h"

#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>

namespace sheaf::api {
namespace {

static_assert(std::endian::native == std::endian::little, "vectors are sent as they lie in memory");

constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// Two characters for each 12 bits: 8 KiB that stay in the first cache, and half the steps that a
// table of single characters takes.
constexpr auto kPairs = [] {
  std::array<std::array<char, 2>, 4096> pairs{};
  for (std::size_t i = 0; i < pairs.size(); ++i) pairs[i] = {kAlphabet[i >> 6], kAlphabet[i & 63]};
  return pairs;
}();

// Longest shortest-form float: "-1.17549435e-38" and a comma.
constexpr std::size_t kFloatCharsMax = 24;

char* write_float(char* at, float value) {
  if (!std::isfinite(value)) {
    std::memcpy(at, "null", 4);
    return at + 4;
  }
  return std::to_chars(at, at + kFloatCharsMax, value).ptr;
}

std::uint32_t load_24_bits(const unsigned char* in) {
  return std::uint32_t(in[0]) << 16 | std::uint32_t(in[1]) << 8 | in[2];
}

char* write_24_bits(char* at, std::uint32_t bits) {
  std::memcpy(at, kPairs[bits >> 12].data(), 2);
  std::memcpy(at + 2, kPairs[bits & 4095].data(), 2);
  return at + 4;
}

}  // namespace

void append_floats(std::string& out, std::span<const float> values) {
  const std::size_t start = out.size();
  out.resize(start + 2 + values.size() * kFloatCharsMax);
  char* at = out.data() + start;
  *at++ = '[';
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (i > 0) *at++ = ',';
    at = write_float(at, values[i]);
  }
  *at++ = ']';
  out.resize(std::size_t(at - out.data()));
}

void append_base64(std::string& out, std::span<const float> values) {
  const auto* in = reinterpret_cast<const unsigned char*>(values.data());
  const std::size_t bytes = values.size_bytes();
  const std::size_t start = out.size();
  out.resize(start + (bytes + 2) / 3 * 4);
  char* at = out.data() + start;
  std::size_t i = 0;
  for (; i + 3 <= bytes; i += 3) at = write_24_bits(at, load_24_bits(in + i));
  if (i == bytes) return;
  const unsigned char tail[3] = {in[i], i + 1 < bytes ? in[i + 1] : static_cast<unsigned char>(0),
                                 0};
  at = write_24_bits(at, load_24_bits(tail));
  at[-1] = '=';
  if (i + 1 == bytes) at[-2] = '=';
}

void append_number(std::string& out, std::int64_t value) {
  char text[24];
  out.append(text, std::to_chars(text, text + sizeof text, value).ptr);
}

void append_number(std::string& out, double value) {
  char text[32];
  if (!std::isfinite(value)) {
    out.append("null");
    return;
  }
  out.append(text, std::to_chars(text, text + sizeof text, value).ptr);
}

void append_number(std::string& out, float value) {
  char text[kFloatCharsMax];
  out.append(text, write_float(text, value));
}

}  // namespace sheaf::api
