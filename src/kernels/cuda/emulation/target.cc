#include "kernels/cuda/emulation/target.h"

namespace sheaf::kernels::cuda {
namespace {

std::uint32_t bits_of(float x) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

float float_of(std::uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

constexpr std::uint32_t kInfinity = 0x7f800000;

}  // namespace

float to_float(Half x) {
  const std::uint32_t sign = std::uint32_t{x.bits & 0x8000u} << 16;
  const std::uint32_t rest = x.bits & 0x7fffu;
  if (rest < 0x400) return std::copysign(static_cast<float>(rest) * 0x1p-24f, float_of(sign));
  if (rest >= 0x7c00) return float_of(sign | kInfinity | rest << 13);
  return float_of(sign | ((rest << 13) + 0x38000000));
}

template <>
Bfloat16 from_float<Bfloat16>(float x) {
  const std::uint32_t bits = bits_of(x);
  if ((bits & 0x7fffffff) > kInfinity) return {0x7fff};
  return {static_cast<std::uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}

template <>
Half from_float<Half>(float x) {
  constexpr std::uint32_t kRoundsToInfinity = 0x477ff000;  // 65520
  constexpr std::uint32_t kSmallestNormal = 0x38800000;    // 2^-14
  const std::uint32_t bits = bits_of(x);
  const std::uint32_t sign = bits >> 16 & 0x8000;
  const std::uint32_t rest = bits & 0x7fffffff;
  std::uint32_t half;
  if (rest > kInfinity)
    half = 0x7fff;
  else if (rest >= kRoundsToInfinity)
    half = 0x7c00;
  else if (rest < kSmallestNormal)  // next to 0.5 a float's steps are those of a half below 2^-14
    half = bits_of(float_of(rest) + 0.5f) - bits_of(0.5f);
  else
    half = (rest + 0xfff + (rest >> 13 & 1) - 0x38000000) >> 13;
  return {static_cast<std::uint16_t>(sign | half)};
}

}  // namespace sheaf::kernels::cuda
