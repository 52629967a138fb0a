#pragma once

#include <immintrin.h>

#include "kernels/cpu/balance.h"
#include "kernels/cpu/linear.h"

// Products in int8 with a scale for each 128 inputs of each row and of each output, since one scale
// a row loses too much of models whose activations have outliers (Dettmers et al., "LLM.int8()",
// 2022); sums of 128 products are exact, sums of those are float32. Where it is known how large
// inputs are they are balanced first (balance.h).
//
// Packed weight: [blocks of 128 inputs] by what inputs are multiplied, in float32; then panels of
// Arch::panel outputs, a panel being [blocks][Arch::vectors][32 fours of inputs]
// [Arch::width outputs][4], each number Arch::raised higher than it is: 128 where the instruction
// multiplies unsigned by signed ones; then [blocks][Arch::panel] scales. Inputs beyond the last are
// zeros. A row of inputs: [blocks] of 128 signed numbers, then [blocks] of Int8Block.
namespace sheaf::kernels::cpu {

constexpr float kInt8Least = 1e-37f;  // a scale below is taken for 0: its inverse has no room

// An Arch for such products.
template <int Width, int Rows, int Vectors>
struct Int8Shape : NearTileShape<Width, Rows, Vectors> {
  using Floats = typename Simd<Width>::Floats;
  // What may become no more than 127 when a block of a row is scaled, never negative: here its
  // numbers.
  static SHEAF_INLINE Floats bounded(Floats x) {
    using Ints = typename Simd<Width>::Ints;
    return reinterpret_cast<Floats>(reinterpret_cast<Ints>(x) & 0x7fffffff);
  }
};

// What a block of a row's numbers stands for: `scale` times each. Exact sums begin at `start`,
// which takes out again by how much weights are raised.
struct Int8Block {
  float scale;
  std::int32_t start;
};

SHEAF_INLINE std::size_t int8_blocks(std::size_t inputs) {
  return (inputs + kInt8Block - 1) / kInt8Block;
}

template <class Arch>
SHEAF_INLINE std::size_t int8_panel_bytes(std::size_t blocks) {
  return blocks * Arch::panel * (kInt8Block + sizeof(float));
}

// Where in a panel output n and input k of a weight stand.
template <class Arch>
SHEAF_INLINE std::size_t int8_at(std::size_t n, std::size_t k) {
  const std::size_t vector = k / kInt8Block * Arch::vectors + n / Arch::width;
  return ((vector * (kInt8Block / 4) + k % kInt8Block / 4) * Arch::width + n % Arch::width) * 4 +
         k % 4;
}

// Where the panels of a packed weight begin, behind what inputs are multiplied by.
SHEAF_INLINE const std::uint8_t* int8_panels(const float* packed, std::size_t blocks) {
  return reinterpret_cast<const std::uint8_t*>(packed + blocks * kInt8Block);
}

template <class Arch>
std::size_t int8_packed_floats(std::size_t inputs, std::size_t outputs) {
  const std::size_t blocks = int8_blocks(inputs);
  const std::size_t bytes = panels_of<Arch>(outputs) * int8_panel_bytes<Arch>(blocks);
  return blocks * kInt8Block + (bytes + 63) / 64 * 16;
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

// One panel, of outputs [first, first + Arch::panel).
template <class Arch>
SHEAF_INLINE void int8_pack_panel(const float* weight, std::size_t stride, std::size_t inputs,
                                  std::size_t outputs, std::size_t first, const float* balance,
                                  std::uint8_t* panel) {
  const std::size_t blocks = int8_blocks(inputs);
  auto* scales = reinterpret_cast<float*>(panel + blocks * Arch::panel * kInt8Block);
  for (std::size_t block = 0; block < blocks; ++block)
    for (std::size_t n = 0; n < Arch::panel; ++n) {
      const std::size_t k0 = block * kInt8Block;
      const std::size_t count = first + n < outputs ? smaller(kInt8Block, inputs - k0) : 0;
      float values[kInt8Block];
      for (std::size_t k = 0; k < count; ++k)
        values[k] = weight[(first + n) * stride + k0 + k] / balance[k0 + k];
      const float scale = largest_magnitude(values, count) / 127;
      const float inverse = scale > kInt8Least ? 1 / scale : 0;
      scales[block * Arch::panel + n] = scale;
      for (std::size_t k = 0; k < kInt8Block; ++k) {
        const float value = k < count && inverse > 0 ? __builtin_rintf(values[k] * inverse) : 0;
        panel[int8_at<Arch>(n, k0 + k)] =
            static_cast<std::uint8_t>(static_cast<int>(value) + Arch::raised);
      }
    }
}

template <class Arch>
void int8_pack(const float* weight, std::size_t stride, std::size_t inputs, std::size_t outputs,
               const float* input_sizes, float* packed) {
  const std::size_t blocks = int8_blocks(inputs);
  balance_inputs<Arch>({weight, stride, inputs, outputs, input_sizes}, packed);
  auto* panel = reinterpret_cast<std::uint8_t*>(packed + blocks * kInt8Block);
  for (std::size_t first = 0; first < outputs; first += Arch::panel) {
    int8_pack_panel<Arch>(weight, stride, inputs, outputs, first, packed, panel);
    panel += int8_panel_bytes<Arch>(blocks);
  }
}

template <class Arch>
void int8_unpack_row(const float* packed, std::size_t inputs, std::size_t /*outputs*/,
                     std::size_t row, float* out) {
  const std::size_t blocks = int8_blocks(inputs);
  const std::uint8_t* panel =
      int8_panels(packed, blocks) + row / Arch::panel * int8_panel_bytes<Arch>(blocks);
  const auto* scales = reinterpret_cast<const float*>(panel + blocks * Arch::panel * kInt8Block);
  const std::size_t n = row % Arch::panel;
  for (std::size_t k = 0; k < inputs; ++k) {
    const std::uint8_t stored = panel[int8_at<Arch>(n, k)];
    const int number = Arch::raised != 0 ? stored - Arch::raised : static_cast<std::int8_t>(stored);
    out[k] = static_cast<float>(number) * scales[k / kInt8Block * Arch::panel + n] * packed[k];
  }
}

// One block of a row, multiplied by `balance` [128]; `count` of its inputs exist. With what is no
// finite number all are none.
template <class Arch, class State>
SHEAF_INLINE Int8Block to_int8(const State* x, std::size_t count, const float* balance,
                               std::int8_t* out) {
  using Floats = typename Arch::Floats;
  using Ints = typename Arch::Ints;
  using Words = typename Arch::Words;
  constexpr std::size_t kVectors = kInt8Block / Arch::width;
  Floats values[kVectors];
  Ints top = {};  // the bits of numbers that are not negative have their order, and infinity's and
                  // those of what is no number are above all
  for (std::size_t v = 0; v < kVectors; ++v) {
    const auto left =
        static_cast<std::ptrdiff_t>(count) - static_cast<std::ptrdiff_t>(v * Arch::width);
    values[v] = left >= static_cast<std::ptrdiff_t>(Arch::width)
                    ? Arch::load(x + v * Arch::width)
                    : Arch::load_first(x + v * Arch::width, left);
    values[v] *= Arch::load(balance + v * Arch::width);
    top = Arch::max(top, reinterpret_cast<Ints>(Arch::bounded(values[v])));
  }
  const float largest = __builtin_bit_cast(float, Arch::largest(top));
  if (!(largest <= __FLT_MAX__)) {
    __builtin_memset(out, 0, kInt8Block);
    return {__builtin_nanf(""), 0};
  }
  const float scale = largest / 127;
  const float inverse = scale > kInt8Least ? 1 / scale : 0;
  // 1.5 * 2^23: adding it rounds to an integer, which then is in the lowest bits.
  constexpr float kRound = 12582912.0f;
  constexpr std::uint32_t kRoundBits = __builtin_bit_cast(std::uint32_t, kRound);
  Words sums = {};
  for (std::size_t v = 0; v < kVectors; ++v) {
    auto numbers = reinterpret_cast<Words>(values[v] * inverse + kRound);
    asm(""
        : "+x"(numbers));  // GCC 12 would take bytes out of what it knows to be floats one by one
    sums += numbers;
    const auto bytes = __builtin_convertvector(numbers, typename Arch::Bytes);
    __builtin_memcpy(out + v * Arch::width, &bytes, sizeof bytes);
  }
  const auto sum = static_cast<std::int32_t>(Arch::sum(sums) -
                                             kRoundBits * static_cast<std::uint32_t>(kInt8Block));
  return {scale, -Arch::raised * sum};
}

// An odd number of cache lines, so that rows do not meet in a few sets of a cache.
template <class Arch>
std::size_t int8_row_bytes(std::size_t inputs) {
  const std::size_t bytes = int8_blocks(inputs) * (kInt8Block + sizeof(Int8Block));
  return ((bytes + 63) / 64 | 1) * 64;
}

struct Int8Rows {
  const std::byte* data;
  std::size_t row_bytes;
  std::size_t blocks;

  SHEAF_INLINE const std::int8_t* numbers(std::size_t row) const {
    return reinterpret_cast<const std::int8_t*>(data + row * row_bytes);
  }
  SHEAF_INLINE const Int8Block* of_blocks(std::size_t row) const {
    return reinterpret_cast<const Int8Block*>(data + row * row_bytes + blocks * kInt8Block);
  }
};

// `count` numbers, at most a block, as block `block` of a row that has `blocks`, for a product with
// `packed`.
template <class Arch, class State>
SHEAF_INLINE void put_int8_block(const State* x, std::size_t count, std::size_t block,
                                 std::size_t blocks, const float* packed, std::byte* row) {
  auto* of_blocks = reinterpret_cast<Int8Block*>(row + blocks * kInt8Block);
  of_blocks[block] = to_int8<Arch>(x, count, packed + block * kInt8Block,
                                   reinterpret_cast<std::int8_t*>(row + block * kInt8Block));
}

template <class Arch, class State>
SHEAF_INLINE void put_int8_rows(const State* x, const LinearPiece& p, const Int8Rows& rows,
                                std::byte* out) {
  for (std::size_t r = 0; r < p.rows; ++r)
    for (std::size_t block = 0; block < rows.blocks; ++block) {
      const std::size_t k0 = block * kInt8Block;
      put_int8_block<Arch>(x + r * p.x_stride + k0, smaller(kInt8Block, p.inputs - k0), block,
                           rows.blocks, p.packed, out + r * rows.row_bytes);
    }
}

// A piece's inputs, whatever they are, in `out` [rows][int8_row_bytes()].
template <class Arch>
Int8Rows to_int8_rows(const LinearPiece& p, std::byte* out) {
  const Int8Rows rows = {out, int8_row_bytes<Arch>(p.inputs), int8_blocks(p.inputs)};
  if (p.x_states != nullptr)
    put_int8_rows<Arch>(p.x_states, p, rows, out);
  else
    put_int8_rows<Arch>(p.x, p, rows, out);
  return rows;
}

}  // namespace sheaf::kernels::cpu
