#pragma once

#include <immintrin.h>

#include "kernels/cpu/linear.h"

// Products in bfloat16: both operands rounded to nearest, sums in float32. Only sources that are
// compiled for AVX-512 BF16 may include this.
//
// Packed weight: panels of 32 outputs, a panel being [steps][2 halves of 16 outputs][16 pairs of
// inputs][16 outputs][2], where a step is 32 inputs and those beyond the last are zeros. One half
// of a step is what TDPBF16PS takes as a tile, and one row of it what VDPBF16PS takes as a vector
// (Intel, "Architecture Instruction Set Extensions Programming Reference").
namespace sheaf::kernels::cpu {

constexpr std::size_t kBf16Step = 32;   // inputs
constexpr std::size_t kBf16Half = 512;  // numbers in half a step
constexpr std::size_t kBf16Panel = 32;  // outputs

SHEAF_INLINE std::size_t bf16_steps(std::size_t inputs) {
  return (inputs + kBf16Step - 1) / kBf16Step;
}

// Of a row of inputs as whole steps: an odd number of cache lines, so that rows do not meet in a
// few sets of a cache.
template <class Arch>
std::size_t bf16_row_bytes(std::size_t inputs) {
  return (bf16_steps(inputs) | 1) * 64;
}

template <class Arch>
std::size_t bf16_packed_floats(std::size_t inputs, std::size_t outputs) {
  return panels_of<Arch>(outputs) * bf16_steps(inputs) * kBf16Half;  // two numbers a float
}

SHEAF_INLINE Bf16 to_bf16(float x) {
  std::uint32_t bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  if (x != x) return static_cast<Bf16>(bits >> 16 | 0x40);  // rounding could make it infinite
  return static_cast<Bf16>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// Where output n and input k of a weight stand.
SHEAF_INLINE std::size_t bf16_at(std::size_t steps, std::size_t n, std::size_t k) {
  return ((n / kBf16Panel * steps + k / kBf16Step) * 2 + n % kBf16Panel / 16) * kBf16Half +
         k % kBf16Step / 2 * 32 + n % 16 * 2 + k % 2;
}

template <class Arch>
void bf16_pack(const float* weight, std::size_t stride, std::size_t inputs, std::size_t outputs,
               const float* /*input_sizes*/, float* packed) {
  auto* out = reinterpret_cast<Bf16*>(packed);
  const std::size_t steps = bf16_steps(inputs);
  const std::size_t rows = panels_of<Arch>(outputs) * kBf16Panel;
  for (std::size_t n = 0; n < rows; ++n)
    for (std::size_t k = 0; k < steps * kBf16Step; ++k)
      out[bf16_at(steps, n, k)] =
          n < outputs && k < inputs ? to_bf16(weight[n * stride + k]) : Bf16{0};
}

template <class Arch>
void bf16_unpack_row(const float* packed, std::size_t inputs, std::size_t /*outputs*/,
                     std::size_t row, float* out) {
  const auto* from = reinterpret_cast<const Bf16*>(packed);
  const std::size_t steps = bf16_steps(inputs);
  for (std::size_t k = 0; k < inputs; ++k) {
    const std::uint32_t bits = std::uint32_t{from[bf16_at(steps, row, k)]} << 16;
    __builtin_memcpy(out + k, &bits, sizeof bits);
  }
}

// One step of a row, of whose inputs `left` exist.
SHEAF_INLINE __m512bh bf16_step(const float* x, std::size_t left) {
  const __mmask16 low = left >= 16 ? 0xffff : static_cast<__mmask16>((1u << left) - 1);
  const std::size_t above = left >= 32 ? 16 : left > 16 ? left - 16 : 0;
  const auto high = static_cast<__mmask16>((1u << above) - 1);
  return _mm512_cvtne2ps_pbh(_mm512_maskz_loadu_ps(high, x + 16), _mm512_maskz_loadu_ps(low, x));
}

// The same of what is bfloat16 already.
SHEAF_INLINE __m512bh bf16_step(const Bf16* x, std::size_t left) {
  const __mmask32 exist = left >= 32 ? 0xffffffff : (1u << left) - 1;
  return reinterpret_cast<__m512bh>(_mm512_maskz_loadu_epi16(exist, x));
}

// One row of inputs as whole steps.
template <class State>
SHEAF_INLINE void row_to_bf16(const State* x, std::size_t inputs, Bf16* out) {
  for (std::size_t k = 0; k < inputs; k += kBf16Step) {
    const __m512bh step = bf16_step(x + k, inputs - k);
    __builtin_memcpy(out + k, &step, sizeof step);
  }
}

SHEAF_INLINE __m512 widened(__m256i x) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16));
}

template <class Arch>
void widen(const Bf16* from, std::size_t columns, float* to) {
  for (std::size_t i = 0; i < columns; i += 16) {
    const auto exist = static_cast<__mmask16>((1u << smaller(columns - i, 16)) - 1);
    _mm512_mask_storeu_ps(to + i, exist, widened(_mm256_maskz_loadu_epi16(exist, from + i)));
  }
}
template <class Arch>
void narrow(const float* from, std::size_t columns, Bf16* to) {
  for (std::size_t i = 0; i < columns; i += kBf16Step) {
    const std::size_t left = columns - i;
    _mm512_mask_storeu_epi16(to + i, left >= 32 ? 0xffffffff : (1u << left) - 1,
                             reinterpret_cast<__m512i>(bf16_step(from + i, left)));
  }
}

// As finish(), of 16 outputs that are states.
template <class Arch, bool Whole>
SHEAF_INLINE void finish_state(const LinearPiece& p, std::size_t row, std::size_t column,
                               typename Arch::Floats value) {
  const std::size_t left = column < p.outputs ? smaller(p.outputs - column, 16) : 0;
  const auto exist = static_cast<__mmask16>(Whole ? 0xffff : (1u << left) - 1);
  auto state = reinterpret_cast<__m512>(finished<Arch, Whole>(p, row, column, value));
  if (p.residual_states != nullptr)
    state = _mm512_add_ps(state, widened(_mm256_maskz_loadu_epi16(
                                     exist, p.residual_states + row * p.residual_stride + column)));
  _mm256_mask_storeu_epi16(p.out_states + row * p.out_stride + column - p.first_panel * Arch::panel,
                           exist, reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(state)));
}

// Both halves of a row and panel of sums: a step of the next product's inputs, states, or float32.
template <class Arch, bool Whole>
SHEAF_INLINE void finish_panel_row(const LinearPiece& p, std::size_t row, std::size_t panel,
                                   const __m512 (&sums)[2]) {
  using Floats = typename Arch::Floats;
  const std::size_t column = panel * kBf16Panel;
  if (p.prepared_out != nullptr) {
    const auto half = [&](std::size_t i) {
      return reinterpret_cast<__m512>(
          finished<Arch, Whole>(p, row, column + i * 16, reinterpret_cast<Floats>(sums[i])));
    };
    const __m512bh both = _mm512_cvtne2ps_pbh(half(1), half(0));
    __builtin_memcpy(p.prepared_out + row * bf16_row_bytes<Arch>(p.outputs) + panel * sizeof both,
                     &both, sizeof both);
    return;
  }
#pragma GCC unroll 2
  for (std::size_t i = 0; i < 2; ++i)
    if (p.out_states != nullptr)
      finish_state<Arch, Whole>(p, row, column + i * 16, reinterpret_cast<Floats>(sums[i]));
    else
      finish<Arch, Whole>(p, row, column + i * 16, reinterpret_cast<Floats>(sums[i]));
}

}  // namespace sheaf::kernels::cpu
