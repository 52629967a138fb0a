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

// E4M3: no infinity, and one code for what is no number.
float to_float(Fp8 x) {
  const std::uint32_t sign = std::uint32_t{x.bits & 0x80u} << 24;
  const std::uint32_t rest = x.bits & 0x7fu;
  if (rest < 0x08) return std::copysign(static_cast<float>(rest) * 0x1p-9f, float_of(sign));
  if (rest == 0x7f) return float_of(sign | 0x7fc00000);
  return float_of(sign | ((rest << 20) + 0x3c000000));
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

template <>
Fp8 from_float<Fp8>(float x) {
  constexpr std::uint32_t kLargest = 0x43e00000;         // 448
  constexpr std::uint32_t kSmallestNormal = 0x3c800000;  // 2^-6
  const std::uint32_t bits = bits_of(x);
  const std::uint32_t sign = bits >> 24 & 0x80;
  const std::uint32_t rest = bits & 0x7fffffff;
  std::uint32_t code;
  if (rest > kInfinity)
    code = 0x7f;
  else if (rest >= kLargest)
    code = 0x7e;
  else if (rest < kSmallestNormal)  // next to 2^14 a float's steps are 2^-9, those of codes there
    code = bits_of(float_of(rest) + 0x1p14f) - bits_of(0x1p14f);
  else
    code = (rest + 0x7ffff + (rest >> 20 & 1) - 0x3c000000) >> 20;
  return {static_cast<std::uint8_t>(sign | code)};
}

}  // namespace sheaf::kernels::cuda
