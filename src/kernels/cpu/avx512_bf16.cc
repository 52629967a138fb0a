// Compiled for AVX-512 BF16 (cmake/Sheaf.cmake): 12 rows x 32 outputs of sums in registers, two
// inputs an instruction.
#include "kernels/cpu/bf16.h"

namespace sheaf::kernels::cpu {

#if defined(__AVX512BF16__)
namespace {

struct Avx512Bf16 : NearTileShape<16, 12, 2> {};

std::size_t scratch_floats(std::size_t rows, std::size_t inputs) {
  return rows * bf16_steps(inputs) * kBf16Step / 2;
}

SHEAF_INLINE __m512bh load_pairs(const Bf16* at) {
  __m512bh pairs;
  __builtin_memcpy(&pairs, at, sizeof pairs);
  return pairs;
}

SHEAF_INLINE __m512bh spread_pair(const Bf16* at) {
  std::int32_t pair;
  __builtin_memcpy(&pair, at, sizeof pair);
  return reinterpret_cast<__m512bh>(_mm512_set1_epi32(pair));
}

// One register tile of a panel.
template <int R, bool Whole>
SHEAF_INLINE void multiply_rows(const LinearPiece& p, const Bf16* x, std::size_t steps,
                                std::size_t row, std::size_t panel, const Bf16* weight) {
  __m512 sums[R][2];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) sums[r][0] = sums[r][1] = _mm512_setzero_ps();
  const Bf16* rows = x + row * steps * kBf16Step;
  for (std::size_t step = 0; step < steps; ++step, weight += 2 * kBf16Half)
    for (std::size_t pair = 0; pair < 16; ++pair) {
      const __m512bh low = load_pairs(weight + pair * 32);
      const __m512bh high = load_pairs(weight + kBf16Half + pair * 32);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        const __m512bh spread =
            spread_pair(rows + (static_cast<std::size_t>(r) * steps + step) * kBf16Step + pair * 2);
        sums[r][0] = _mm512_dpbf16_ps(sums[r][0], low, spread);
        sums[r][1] = _mm512_dpbf16_ps(sums[r][1], high, spread);
      }
    }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < 2; ++v)
      finish<Avx512Bf16, Whole>(p, row + static_cast<std::size_t>(r),
                                panel * kBf16Panel + static_cast<std::size_t>(v) * 16,
                                reinterpret_cast<Avx512Bf16::Floats>(sums[r][v]));
}

void linear(const LinearPiece& p) {
  const std::size_t steps = bf16_steps(p.inputs);
  auto* x = reinterpret_cast<Bf16*>(p.scratch);
  for (std::size_t r = 0; r < p.rows; ++r)
    row_to_bf16(p.x + r * p.x_stride, p.inputs, x + r * steps * kBf16Step);
  const auto* weight = reinterpret_cast<const Bf16*>(p.packed);
  for (std::size_t panel = p.first_panel; panel < p.last_panel; ++panel) {
    const Bf16* of_panel = weight + panel * steps * 2 * kBf16Half;
    const bool whole = (panel + 1) * kBf16Panel <= p.outputs;
    for_row_groups<Avx512Bf16>(p.rows, [&]<int R>(std::size_t row) {
      if (whole)
        multiply_rows<R, true>(p, x, steps, row, panel, of_panel);
      else
        multiply_rows<R, false>(p, x, steps, row, panel, of_panel);
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
                                    .prepared_bytes = nullptr,
                                    .prepared_panels = 1,
                                    .scratch_floats = scratch_floats,
                                    .pack = bf16_pack<Avx512Bf16>,
                                    .linear = linear,
                                    .unpack_row = bf16_unpack_row<Avx512Bf16>,
                                    .states = nullptr};

}  // namespace

const LinearKernels* avx512_bf16_kernels() { return &kKernels; }
#else
const LinearKernels* avx512_bf16_kernels() { return nullptr; }
#endif

}  // namespace sheaf::kernels::cpu
