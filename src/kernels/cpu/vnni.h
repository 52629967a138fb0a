#pragma once

#include "kernels/cpu/int8.h"

// Products in int8 by VNNI's instructions, which add the products of four unsigned bytes by four
// signed ones to each sum, or by others to the same effect. A row of inputs is followed by [blocks]
// of Int8Block.
//
// Arch is a TileShape (tile.h) that has
//   static Ints multiply_add(Ints sums, Ints unsigned_bytes, Ints signed_bytes)
namespace sheaf::kernels::cpu {

template <int Width, int Rows, int Vectors>
struct VnniShape : Int8Shape<Width, Rows, Vectors> {
  static constexpr int raised = 128;  // weights, so that they are unsigned
};

template <class Arch>
std::size_t vnni_scratch_floats(std::size_t rows, std::size_t inputs) {
  return rows * int8_blocks(inputs) * (kInt8Block + sizeof(Int8Block)) / sizeof(float);
}

// One register tile of a panel: for each block R x Arch::vectors exact sums, which are scaled and
// added to as many in float32.
template <class Arch, int R, bool Whole>
SHEAF_INLINE void vnni_tile(const LinearPiece& p, const std::int8_t* x, const Int8Block* of_rows,
                            std::size_t blocks, std::size_t row, std::size_t panel,
                            const std::uint8_t* weight) {
  using Floats = typename Arch::Floats;
  using Ints = typename Arch::Ints;
  const auto* scales = reinterpret_cast<const float*>(weight + blocks * Arch::panel * kInt8Block);
  // As in linear.h the next panel is fetched meanwhile.
  const std::size_t panel_floats = int8_panel_bytes<Arch>(blocks) / sizeof(float);
  const std::size_t steps = p.rows * blocks * (kInt8Block / 4) * Arch::vectors;
  const std::size_t ahead_step = (panel_floats * R + steps - 1) / steps;
  const float* ahead =
      reinterpret_cast<const float*>(weight) + panel_floats + panel_floats * row / p.rows;
  Floats sums[R][Arch::vectors] = {};
  for (std::size_t block = 0; block < blocks; ++block) {
    Ints exact[R][Arch::vectors];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
      for (int v = 0; v < Arch::vectors; ++v) {
        const Int8Block& of_row = of_rows[(row + static_cast<std::size_t>(r)) * blocks + block];
        exact[r][v] = -Arch::raised * of_row.sum - Ints{};
      }
    const std::int8_t* numbers = x + (row * blocks + block) * kInt8Block;
    for (std::size_t four = 0; four < kInt8Block / 4; ++four) {
      Ints columns[Arch::vectors];
#pragma GCC unroll 2
      for (int v = 0; v < Arch::vectors; ++v) {  // all at once would go by the stack
        __builtin_prefetch(ahead, 0, 2);
        ahead += ahead_step;
        __builtin_memcpy(&columns[v],
                         weight + (static_cast<std::size_t>(v) * 16 + four) * sizeof(Ints),
                         sizeof(Ints));
      }
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
    weight += kInt8Block * Arch::panel;
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
void vnni_linear(const LinearPiece& p) {
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
        vnni_tile<Arch, R, true>(p, x, of_rows, blocks, row, panel, of_panel);
      else
        vnni_tile<Arch, R, false>(p, x, of_rows, blocks, row, panel, of_panel);
    });
  }
}

template <class Arch>
constexpr LinearKernels make_vnni_kernels(const char* name) {
  return {.name = name,
          .dtype = Dtype::int8,
          .panel_width = Arch::panel,
          .row_step = 1,
          .row_block = 96,
          .piece_flops = 64'000'000,
          .pieces_per_thread = 1,
          .packed_floats = int8_packed_floats<Arch>,
          .prepared_bytes = nullptr,
          .prepared_panels = 1,
          .scratch_floats = vnni_scratch_floats<Arch>,
          .pack = int8_pack<Arch>,
          .linear = vnni_linear<Arch>,
          .unpack_row = int8_unpack_row<Arch>,
          .states = nullptr};
}

}  // namespace sheaf::kernels::cpu
