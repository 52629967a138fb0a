#include "tokenizer/serde_number.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string_view>

namespace sheaf::tokenizer {
namespace {

constexpr int kExponentMax = 308;

std::array<double, kExponentMax + 1> make_powers() {
  std::array<double, kExponentMax + 1> powers{};
  for (int i = 0; i <= kExponentMax; ++i) {
    std::array<char, 8> text{'1', 'e'};
    const char* const end = std::to_chars(text.data() + 2, text.data() + text.size(), i).ptr;
    std::from_chars(text.data(), end, powers[static_cast<std::size_t>(i)]);
  }
  return powers;
}

}  // namespace

double as_serde_reads_it(double value) {
  static const std::array<double, kExponentMax + 1> powers = make_powers();
  const auto power = [&](int exponent) { return powers[static_cast<std::size_t>(exponent)]; };
  if (value == 0 || !std::isfinite(value)) return value;
  std::array<char, 32> text{};
  const char* const end = std::to_chars(text.data(), text.data() + text.size(), std::abs(value),
                                        std::chars_format::scientific)
                              .ptr;
  std::uint64_t digits = 0;
  int exponent = 0;
  const char* p = text.data();
  for (bool fraction = false; *p != 'e'; ++p) {
    if (*p == '.') {
      fraction = true;
      continue;
    }
    digits = digits * 10 + static_cast<std::uint64_t>(*p - '0');
    exponent -= fraction ? 1 : 0;
  }
  int written = 0;
  ++p;
  std::from_chars(*p == '+' ? p + 1 : p, end, written);
  exponent += written;
  auto result = static_cast<double>(digits);
  if (exponent >= 0) {
    result *= power(exponent);
  } else {
    if (exponent < -kExponentMax) {
      result /= power(kExponentMax);
      exponent += kExponentMax;
    }
    result /= power(-exponent);
  }
  return std::copysign(result, value);
}

}  // namespace sheaf::tokenizer
