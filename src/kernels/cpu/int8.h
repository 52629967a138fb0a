#pragma once

#include <immintrin.h>

#include "kernels/cpu/linear.h"

// Products in int8 with a scale for each 64 inputs of each row and of each output, since one scale
// a row loses too much of models whose activations have outliers (Dettmers et al., "LLM.int8()",
// 2022); sums of 64 products are exact, sums of those are float32.
//
// Packed weight: panels of Arch::panel outputs, a panel being [blocks of 64 inputs][16 fours of
// inputs][Arch::panel outputs][4], each number 128 higher than it is, since the instruction
// multiplies unsigned by signed ones; then [blocks][Arch::panel] scales. Inputs beyond the last are
// zeros. A row of inputs: [blocks] of 64 signed numbers; then [blocks] of Int8Block.
//
// Arch is a TileShape (tile.h) that has, adding the products of four bytes to each sum,
//   static Ints multiply_add(Ints sums, Ints unsigned_bytes, Ints signed_bytes)
namespace sheaf::kernels::cpu {

constexpr std::size_t kInt8Block = 64;  // inputs
constexpr float kInt8Least = 1e-37f;    // a scale below is taken for 0: its inverse has no room

// What a block of a row's numbers stands for: `scale` times each; `offset` is -128 times their sum.
struct Int8Block {
  float scale;
  std::int32_t offset;
};

SHEAF_INLINE std::size_t int8_blocks(std::size_t inputs) {
  return (inputs + kInt8Block - 1) / kInt8Block;
}

template <class Arch>
SHEAF_INLINE std::size_t int8_panel_bytes(std::size_t blocks) {
  return blocks * Arch::panel * (kInt8Block + sizeof(float));
}

template <class Arch>
std::size_t int8_packed_floats(std::size_t inputs, std::size_t outputs) {
  const std::size_t bytes = panels_of<Arch>(outputs) * int8_panel_bytes<Arch>(int8_blocks(inputs));
  return (bytes + 63) / 64 * 16;
}

// Of a block with what is no finite number: not a number.
SHEAF_INLINE float largest_magnitude(const float* x, std::size_t count) {
  float largest = 0;
  float poison = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const float magnitude = __builtin_fabsf(x[i]);
    largest = magnitude > largest ? magnitude : largest;
    poison += x[i] * 0;
  }
  return largest + poison;
}

template <class Arch>
void int8_pack(const float* weight, std::size_t stride, std::size_t inputs, std::size_t outputs,
               float* packed) {
  const std::size_t blocks = int8_blocks(inputs);
  auto* panel = reinterpret_cast<std::uint8_t*>(packed);
  for (std::size_t first = 0; first < outputs; first += Arch::panel) {
    auto* scales = reinterpret_cast<float*>(panel + blocks * Arch::panel * kInt8Block);
    for (std::size_t block = 0; block < blocks; ++block)
      for (std::size_t n = 0; n < Arch::panel; ++n) {
        const std::size_t k0 = block * kInt8Block;
        const std::size_t count = first + n < outputs ? smaller(kInt8Block, inputs - k0) : 0;
        const float* from = count == 0 ? weight : weight + (first + n) * stride + k0;
        const float scale = largest_magnitude(from, count) / 127;
        const float inverse = scale > kInt8Least ? 1 / scale : 0;
        scales[block * Arch::panel + n] = scale;
        for (std::size_t k = 0; k < kInt8Block; ++k) {
          const float value = k < count && inverse > 0 ? __builtin_rintf(from[k] * inverse) : 0;
          panel[((block * 16 + k / 4) * Arch::panel + n) * 4 + k % 4] =
              static_cast<std::uint8_t>(static_cast<int>(value) + 128);
        }
      }
    panel += int8_panel_bytes<Arch>(blocks);
  }
}

template <class Arch>
void int8_unpack_row(const float* packed, std::size_t inputs, std::size_t /*outputs*/,
                     std::size_t row, float* out) {
  const std::size_t blocks = int8_blocks(inputs);
  const auto* panel = reinterpret_cast<const std::uint8_t*>(packed) +
                      row / Arch::panel * int8_panel_bytes<Arch>(blocks);
  const auto* scales = reinterpret_cast<const float*>(panel + blocks * Arch::panel * kInt8Block);
  const std::size_t n = row % Arch::panel;
  for (std::size_t k = 0; k < inputs; ++k) {
    const int number = panel[(k / 4 * Arch::panel + n) * 4 + k % 4] - 128;
    out[k] = static_cast<float>(number) * scales[k / kInt8Block * Arch::panel + n];
  }
}

template <class Arch>
std::size_t int8_scratch_floats(std::size_t rows, std::size_t inputs) {
  return rows * int8_blocks(inputs) * (kInt8Block + sizeof(Int8Block)) / sizeof(float);
}

// One block of a row; `count` of its inputs exist. With what is no finite number all are none.
template <class Arch>
SHEAF_INLINE Int8Block to_int8(const float* x, std::size_t count, std::int8_t* out) {
  using Floats = typename Arch::Floats;
  using Ints = typename Arch::Ints;
  constexpr std::size_t kVectors = kInt8Block / Arch::width;
  Floats values[kVectors];
  Floats top = {};
  Floats check = {};
  for (std::size_t v = 0; v < kVectors; ++v) {
    const auto left =
        static_cast<std::ptrdiff_t>(count) - static_cast<std::ptrdiff_t>(v * Arch::width);
    values[v] = left >= static_cast<std::ptrdiff_t>(Arch::width)
                    ? Arch::load(x + v * Arch::width)
                    : Arch::load_first(x + v * Arch::width, left);
    top = Arch::max(top, values[v] < 0 ? -values[v] : values[v]);
    check += values[v] * 0.0f;
  }
  const float poison = Arch::sum(check);
  if (poison != 0) {  // not a number
    __builtin_memset(out, 0, kInt8Block);
    return {poison, 0};
  }
  const float scale = Arch::largest(top) / 127;
  const float inverse = scale > kInt8Least ? 1 / scale : 0;
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  Ints sums = {};
  for (std::size_t v = 0; v < kVectors; ++v) {
    const Ints numbers = __builtin_convertvector((values[v] * inverse + kRound) - kRound, Ints);
    sums += numbers;
    const auto bytes = __builtin_convertvector(numbers, typename Arch::Bytes);
    __builtin_memcpy(out + v * Arch::width, &bytes, sizeof bytes);
  }
  std::int32_t sum = 0;
  for (std::size_t i = 0; i < Arch::width; ++i) sum += sums[i];
  return {scale, -128 * sum};
}

// One register tile of a panel: for each block R x Arch::vectors exact sums, which are scaled and
// added to as many in float32.
template <class Arch, int R, bool Whole>
SHEAF_INLINE void int8_tile(const LinearPiece& p, const std::int8_t* x, const Int8Block* of_rows,
                            std::size_t blocks, std::size_t row, std::size_t panel,
                            const std::uint8_t* weight) {
  using Floats = typename Arch::Floats;
  using Ints = typename Arch::Ints;
  const auto* scales = reinterpret_cast<const float*>(weight + blocks * Arch::panel * kInt8Block);
  Floats sums[R][Arch::vectors] = {};
  for (std::size_t block = 0; block < blocks; ++block) {
    Ints exact[R][Arch::vectors];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
      for (int v = 0; v < Arch::vectors; ++v)
        exact[r][v] = of_rows[(row + static_cast<std::size_t>(r)) * blocks + block].offset - Ints{};
    const std::int8_t* numbers = x + (row * blocks + block) * kInt8Block;
    for (std::size_t four = 0; four < kInt8Block / 4; ++four) {
      Ints columns[Arch::vectors];
#pragma GCC unroll 2
      for (int v = 0; v < Arch::vectors; ++v, weight += sizeof(Ints))
        __builtin_memcpy(&columns[v], weight, sizeof(Ints));  // all at once would go by the stack
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        std::int32_t four_numbers;
        __builtin_memcpy(&four_numbers,
                         numbers + static_cast<std::size_t>(r) * blocks * kInt8Block + four * 4,
                         sizeof four_numbers);
        const Ints spread = four_numbers - Ints{};
#pragma GCC unroll 2
        for (int v = 0; v < Arch::vectors; ++v)
          exact[r][v] = Arch::multiply_add(exact[r][v], columns[v], spread);
      }
    }
    Floats of_columns[Arch::vectors];
#pragma GCC unroll 2
    for (std::size_t v = 0; v < Arch::vectors; ++v)
      of_columns[v] = Arch::load(scales + block * Arch::panel + v * Arch::width);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const float of_row = of_rows[(row + static_cast<std::size_t>(r)) * blocks + block].scale;
#pragma GCC unroll 2
      for (int v = 0; v < Arch::vectors; ++v)
        sums[r][v] += __builtin_convertvector(exact[r][v], Floats) * (of_columns[v] * of_row);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < Arch::vectors; ++v)
      finish<Arch, Whole>(p, row + static_cast<std::size_t>(r),
                          panel * Arch::panel + static_cast<std::size_t>(v) * Arch::width,
                          sums[r][v]);
}

template <class Arch>
void int8_linear(const LinearPiece& p) {
  const std::size_t blocks = int8_blocks(p.inputs);
  auto* x = reinterpret_cast<std::int8_t*>(p.scratch);
  auto* of_rows = reinterpret_cast<Int8Block*>(x + p.rows * blocks * kInt8Block);
  for (std::size_t r = 0; r < p.rows; ++r)
    for (std::size_t block = 0; block < blocks; ++block) {
      const std::size_t k0 = block * kInt8Block;
      of_rows[r * blocks + block] =
          to_int8<Arch>(p.x + r * p.x_stride + k0, smaller(kInt8Block, p.inputs - k0),
                        x + (r * blocks + block) * kInt8Block);
    }
  const auto* weight = reinterpret_cast<const std::uint8_t*>(p.packed);
  for (std::size_t panel = p.first_panel; panel < p.last_panel; ++panel) {
    const std::uint8_t* of_panel = weight + panel * int8_panel_bytes<Arch>(blocks);
    const bool whole = (panel + 1) * Arch::panel <= p.outputs;
    for_row_groups<Arch>(p.rows, [&]<int R>(std::size_t row) {
      if (whole)
        int8_tile<Arch, R, true>(p, x, of_rows, blocks, row, panel, of_panel);
      else
        int8_tile<Arch, R, false>(p, x, of_rows, blocks, row, panel, of_panel);
    });
  }
}

template <class Arch>
constexpr LinearKernels make_int8_kernels(const char* name) {
  return {.name = name,
          .dtype = Dtype::int8,
          .panel_width = Arch::panel,
          .row_step = 1,
          .row_block = 96,
          .piece_flops = 64'000'000,
          .pieces_per_thread = 1,
          .packed_floats = int8_packed_floats<Arch>,
          .scratch_floats = int8_scratch_floats<Arch>,
          .pack = int8_pack<Arch>,
          .linear = int8_linear<Arch>,
          .unpack_row = int8_unpack_row<Arch>,
          .attention_scratch = nullptr,
          .attention = nullptr};
}

}  // namespace sheaf::kernels::cpu
