#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace sheaf::tensor {

// Of bfloat16 the bits: the upper half of a float32's.
constexpr float from_bfloat16(std::uint16_t bits) {
  return std::bit_cast<float>(std::uint32_t{bits} << 16);
}

// Rounded to the nearest, ties to even; what is no number stays none.
constexpr std::uint16_t to_bfloat16(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  if ((bits & 0x7fffffff) > 0x7f800000) return 0x7fff;
  return static_cast<std::uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// All of them, rounded, in words of two for Buffer::hold(); the first in the lower half.
inline std::vector<std::uint32_t> to_bfloat16(std::span<const float> values) {
  std::vector<std::uint32_t> words((values.size() + 1) / 2);
  for (std::size_t i = 0; i < values.size(); ++i)
    words[i / 2] |= std::uint32_t{to_bfloat16(values[i])} << 16 * (i % 2);
  return words;
}

}  // namespace sheaf::tensor
