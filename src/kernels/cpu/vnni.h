#pragma once

#include "kernels/cpu/int8.h"

// Products in int8 by VNNI's instructions, which add the products of four unsigned bytes by four
// signed ones to each sum, or by others to the same effect.
//
// Arch is a VnniShape that has
//   static Ints multiply_add(Ints sums, Ints unsigned_bytes, Ints signed_bytes)
// and, where states are bfloat16, `states` and, as finish() of linear.h,
//   template <bool Whole> static void finish_state(p, row, column, value)
namespace sheaf::kernels::cpu {

template <int Width, int Rows, int Vectors>
struct VnniShape : Int8Shape<Width, Rows, Vectors> {
  static constexpr int raised = 128;     // weights, so that they are unsigned
  static constexpr bool states = false;  // float32 goes in and out
};

#if defined(__AVX512VNNI__)
// 6 rows x 32 outputs, exact sums and sums in float32, are 24 of 32 registers.
struct Avx512VnniShape : VnniShape<16, 6, 2> {
  static SHEAF_INLINE Ints multiply_add(Ints sums, Ints unsigned_bytes, Ints signed_bytes) {
    return reinterpret_cast<Ints>(_mm512_dpbusd_epi32(reinterpret_cast<__m512i>(sums),
                                                      reinterpret_cast<__m512i>(unsigned_bytes),
                                                      reinterpret_cast<__m512i>(signed_bytes)));
  }
};
#endif

template <class Arch>
std::size_t vnni_scratch_floats(std::size_t rows, std::size_t inputs) {
  return rows * int8_row_bytes<Arch>(inputs) / sizeof(float);
}

template <class Arch>
Int8Rows vnni_rows_of(const LinearPiece& p) {
  const Int8Rows prepared = {p.prepared, int8_row_bytes<Arch>(p.inputs), int8_blocks(p.inputs)};
  return p.prepared != nullptr ? prepared
                               : to_int8_rows<Arch>(p, reinterpret_cast<std::byte*>(p.scratch));
}

template <class Arch>
constexpr std::size_t kPanelsOfBlock = kInt8Block / Arch::panel;

// R rows of one panel. Meanwhile they fetch their share of another, `fetched` panels further on.
struct VnniTile {
  std::size_t row;
  std::size_t panel;
  std::size_t fetched;
};

// For each block R x Arch::vectors exact sums, which are scaled and added to as many in float32.
template <class Arch, int R>
SHEAF_INLINE void multiply_vnni_tile(const LinearPiece& p, const Int8Rows& x, const VnniTile& tile,
                                     typename Arch::Floats (&out)[R][Arch::vectors]) {
  using Floats = typename Arch::Floats;
  using Ints = typename Arch::Ints;
  const std::size_t panel_bytes = int8_panel_bytes<Arch>(x.blocks);
  const std::uint8_t* weight = int8_panels(p.packed, x.blocks) + tile.panel * panel_bytes;
  const auto* scales = reinterpret_cast<const float*>(weight + x.blocks * Arch::panel * kInt8Block);
  const std::size_t panel_floats = panel_bytes / sizeof(float);
  const std::size_t steps = p.rows * x.blocks * (kInt8Block / 4) * Arch::vectors;
  const std::size_t ahead_step = (panel_floats * R + steps - 1) / steps;
  const float* ahead = reinterpret_cast<const float*>(weight) + tile.fetched * panel_floats +
                       panel_floats * tile.row / p.rows;
  Floats sums[R][Arch::vectors] = {};
  for (std::size_t block = 0; block < x.blocks; ++block) {
    Ints exact[R][Arch::vectors];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
      for (int v = 0; v < Arch::vectors; ++v)
        exact[r][v] = x.of_blocks(tile.row + static_cast<std::size_t>(r))[block].start - Ints{};
    const std::int8_t* numbers = x.numbers(tile.row) + block * kInt8Block;
    for (std::size_t four = 0; four < kInt8Block / 4; ++four) {
      Ints columns[Arch::vectors];
#pragma GCC unroll 2
      for (int v = 0; v < Arch::vectors; ++v) {  // all at once would go by the stack
        __builtin_prefetch(ahead, 0, 2);
        ahead += ahead_step;
        const std::size_t at = static_cast<std::size_t>(v) * (kInt8Block / 4) + four;
        __builtin_memcpy(&columns[v], weight + at * sizeof(Ints), sizeof(Ints));
      }
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        std::int32_t four_numbers;
        __builtin_memcpy(&four_numbers,
                         numbers + static_cast<std::size_t>(r) * x.row_bytes + four * 4,
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
      const float of_row = x.of_blocks(tile.row + static_cast<std::size_t>(r))[block].scale;
#pragma GCC unroll 2
      for (int v = 0; v < Arch::vectors; ++v)
        sums[r][v] += __builtin_convertvector(exact[r][v], Floats) * (of_columns[v] * of_row);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < Arch::vectors; ++v) out[r][v] = sums[r][v];
}

template <class Arch, int R, bool Whole>
SHEAF_INLINE void vnni_tile(const LinearPiece& p, const Int8Rows& x, const VnniTile& tile) {
  typename Arch::Floats sums[R][Arch::vectors];
  multiply_vnni_tile<Arch, R>(p, x, tile, sums);
#pragma GCC unroll 1  // it would be the most of the program's code, and no faster
  for (std::size_t r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (std::size_t v = 0; v < Arch::vectors; ++v) {
      const std::size_t column = tile.panel * Arch::panel + v * Arch::width;
      if constexpr (Arch::states)
        if (p.out_states != nullptr) {
          Arch::template finish_state<Whole>(p, tile.row + r, column, sums[r][v]);
          continue;
        }
      finish<Arch, Whole>(p, tile.row + r, column, sums[r][v]);
    }
}

// So many panels that their outputs are a block of the next product's inputs.
template <class Arch, int R, bool Whole>
SHEAF_INLINE void prepare_vnni_block(const LinearPiece& p, const Int8Rows& x, std::size_t row,
                                     std::size_t first_panel) {
  alignas(64) float outputs[R][kInt8Block];
  const std::size_t end = smaller(first_panel + kPanelsOfBlock<Arch>, p.last_panel);
  for (std::size_t panel = first_panel; panel < end; ++panel) {
    typename Arch::Floats sums[R][Arch::vectors];
    multiply_vnni_tile<Arch, R>(p, x, {row, panel, kPanelsOfBlock<Arch>}, sums);
#pragma GCC unroll 1
    for (std::size_t r = 0; r < R; ++r)
#pragma GCC unroll 2
      for (std::size_t v = 0; v < Arch::vectors; ++v)
        Arch::store(
            outputs[r] + (panel - first_panel) * Arch::panel + v * Arch::width,
            finished<Arch, Whole>(p, row + r, panel * Arch::panel + v * Arch::width, sums[r][v]));
  }
  const std::size_t blocks = int8_blocks(p.outputs), block = first_panel / kPanelsOfBlock<Arch>;
  const std::size_t count = smaller(kInt8Block, p.outputs - block * kInt8Block);
  for (std::size_t r = 0; r < R; ++r)
    put_int8_block<Arch>(outputs[r], count, block, blocks, p.prepared_for,
                         p.prepared_out + (row + r) * int8_row_bytes<Arch>(p.outputs));
}

template <class Arch>
void vnni_linear(const LinearPiece& p) {
  const Int8Rows x = vnni_rows_of<Arch>(p);
  const std::size_t together = p.prepared_out != nullptr ? kPanelsOfBlock<Arch> : 1;
  for (std::size_t panel = p.first_panel; panel < p.last_panel; panel += together) {
    const bool whole = (panel + together) * Arch::panel <= p.outputs;
    for_row_groups<Arch>(p.rows, [&]<int R>(std::size_t row) {
      if (p.prepared_out != nullptr && whole)
        prepare_vnni_block<Arch, R, true>(p, x, row, panel);
      else if (p.prepared_out != nullptr)
        prepare_vnni_block<Arch, R, false>(p, x, row, panel);
      else if (whole)
        vnni_tile<Arch, R, true>(p, x, {row, panel, 1});
      else
        vnni_tile<Arch, R, false>(p, x, {row, panel, 1});
    });
  }
}

template <class Arch>
constexpr LinearKernels make_vnni_kernels(const char* name, const StateKernels* states = nullptr) {
  return {.name = name,
          .dtype = Dtype::int8,
          .panel_width = Arch::panel,
          .row_step = 1,
          .row_block = 96,
          .piece_flops = 256'000'000,
          .pieces_per_thread = 1,
          .packed_floats = int8_packed_floats<Arch>,
          .prepared_bytes = int8_row_bytes<Arch>,
          .prepared_panels = kPanelsOfBlock<Arch>,
          .scratch_floats = vnni_scratch_floats<Arch>,
          .pack = int8_pack<Arch>,
          .linear = vnni_linear<Arch>,
          .unpack_row = int8_unpack_row<Arch>,
          .states = states};
}

}  // namespace sheaf::kernels::cpu
