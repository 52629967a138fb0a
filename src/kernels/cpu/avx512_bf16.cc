// Compiled for AVX-512 BF16 (cmake/Sheaf.cmake).
#include "kernels/cpu/kernels.h"

#if defined(__AVX512BF16__)
#include "kernels/cpu/bf16_attention.h"
#include "kernels/cpu/bf16_rows.h"
#endif

namespace sheaf::kernels::cpu {

#if defined(__AVX512BF16__)
namespace {

struct Avx512Bf16 : NearTileShape<16, kBf16Rows, 2> {};

// Rows as the product takes them: whole steps.
struct Rows {
  const Bf16* data;
  std::size_t stride;  // numbers
};

std::size_t scratch_floats(std::size_t rows, std::size_t inputs) {
  return rows * bf16_row_bytes<Avx512Bf16>(inputs) / sizeof(float);
}

// States of whole steps are taken from where they are.
Rows rows_of(const LinearPiece& p) {
  const std::size_t stride = bf16_row_bytes<Avx512Bf16>(p.inputs) / sizeof(Bf16);
  if (p.prepared != nullptr) return {reinterpret_cast<const Bf16*>(p.prepared), stride};
  if (p.x_states != nullptr && p.inputs % kBf16Step == 0) return {p.x_states, p.x_stride};
  auto* own = reinterpret_cast<Bf16*>(p.scratch);
  for (std::size_t r = 0; r < p.rows; ++r)
    if (p.x_states != nullptr)
      row_to_bf16(p.x_states + r * p.x_stride, p.inputs, own + r * stride);
    else
      row_to_bf16(p.x + r * p.x_stride, p.inputs, own + r * stride);
  return {own, stride};
}

// While a panel is used, its groups of rows fetch the next, each a share.
template <int R, bool Whole>
SHEAF_INLINE void multiply_group(const LinearPiece& p, const Rows& x, std::size_t row,
                                 std::size_t panel) {
  const std::size_t steps = bf16_steps(p.inputs), numbers = steps * 2 * kBf16Half;
  const Bf16* weight = reinterpret_cast<const Bf16*>(p.packed) + panel * numbers;
  const Bf16Ahead ahead = {weight + numbers + numbers * row / p.rows,
                           (kBf16Panel * R + p.rows - 1) / p.rows};
  __m512 sums[R][2];
  multiply_bf16_rows<R>(x.data + row * x.stride, x.stride, steps, weight, ahead, sums);
#pragma GCC unroll 16
  for (std::size_t r = 0; r < R; ++r)
    finish_panel_row<Avx512Bf16, Whole>(p, row + r, panel, sums[r]);
}

void linear(const LinearPiece& p) {
  const Rows x = rows_of(p);
  for (std::size_t panel = p.first_panel; panel < p.last_panel; ++panel) {
    const bool whole = (panel + 1) * kBf16Panel <= p.outputs;
    for_row_groups<Avx512Bf16>(p.rows, [&]<int R>(std::size_t row) {
      if (whole)
        multiply_group<R, true>(p, x, row, panel);
      else
        multiply_group<R, false>(p, x, row, panel);
    });
  }
}

constexpr LinearKernels kKernels = {.name = "avx512 bf16",
                                    .dtype = Dtype::bfloat16,
                                    .panel_width = kBf16Panel,
                                    .row_step = 1,
                                    .row_block = 96,
                                    .piece_flops = 64'000'000,
                                    .pieces_per_thread = 1,
                                    .packed_floats = bf16_packed_floats<Avx512Bf16>,
                                    .prepared_bytes = bf16_row_bytes<Avx512Bf16>,
                                    .prepared_panels = 1,
                                    .scratch_floats = scratch_floats,
                                    .pack = bf16_pack<Avx512Bf16>,
                                    .linear = linear,
                                    .unpack_row = bf16_unpack_row<Avx512Bf16>,
                                    .states = &kBf16States<RowProduct<Avx512Bf16>>};

}  // namespace

const LinearKernels* avx512_bf16_kernels() { return &kKernels; }
#else
const LinearKernels* avx512_bf16_kernels() { return nullptr; }
#endif

}  // namespace sheaf::kernels::cpu
