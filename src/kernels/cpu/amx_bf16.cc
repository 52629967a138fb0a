// Compiled for AMX-BF16 beside AVX-512 (cmake/Sheaf.cmake).
#include "kernels/cpu/kernels.h"

#if defined(__AMX_TILE__) && defined(__AMX_BF16__)
#include "kernels/cpu/amx_attention.h"
#include "kernels/cpu/amx_tiles.h"
#endif

namespace sheaf::kernels::cpu {

#if defined(__AMX_TILE__) && defined(__AMX_BF16__)
namespace {

struct Amx : NearTileShape<16, 12, 2> {};

// Panels that are used for all rows before the next ones, so that they come from memory once and
// from the second-level cache then, while a group's rows stay in the first.
constexpr std::size_t kNearBytes = 384 << 10;

SHEAF_INLINE std::size_t rounded_up(std::size_t rows) {
  return (rows + kTileRows - 1) / kTileRows * kTileRows;
}

// Sums of the rows at hand, then all rows of the piece in bfloat16.
std::size_t scratch_floats(std::size_t rows, std::size_t inputs) {
  return kSums + rounded_up(rows) * bf16_steps(inputs) * kBf16Step / 2;
}

void to_bf16_rows(const LinearPiece& p, std::size_t steps, Bf16* out) {
  const std::size_t row_numbers = steps * kBf16Step;
  for (std::size_t r = 0; r < p.rows; ++r)
    row_to_bf16(p.x + r * p.x_stride, p.inputs, out + r * row_numbers);
  for (std::size_t i = p.rows * row_numbers; i < rounded_up(p.rows) * row_numbers; ++i) out[i] = 0;
  finish_stores();
}

template <bool Whole>
SHEAF_INLINE void finish_rows(const LinearPiece& p, std::size_t first, std::size_t rows,
                              std::size_t panel, const float* sums) {
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t v = 0; v < 2; ++v)
      finish<Amx, Whole>(p, first + r, panel * kBf16Panel + v * 16,
                         Amx::load(sums + r * kBf16Panel + v * 16));
}

void multiply_group(const LinearPiece& p, const Bf16* x, std::size_t steps, std::size_t first,
                    std::size_t panel, float* sums) {
  const std::size_t rows = smaller(kRows, p.rows - first);
  const Bf16* rows_at = x + first * steps * kBf16Step;
  const Bf16* weight = reinterpret_cast<const Bf16*>(p.packed) + panel * steps * 2 * kBf16Half;
  if (first == 0)
    multiply_tiles<Weights::far>(rows_at, rows, steps, weight, sums);
  else
    multiply_tiles<Weights::near>(rows_at, rows, steps, weight, sums);
  if ((panel + 1) * kBf16Panel <= p.outputs)
    finish_rows<true>(p, first, rows, panel, sums);
  else
    finish_rows<false>(p, first, rows, panel, sums);
}

void linear(const LinearPiece& p) {
  const std::size_t steps = bf16_steps(p.inputs);
  float* sums = p.scratch;
  auto* x = reinterpret_cast<Bf16*>(sums + kSums);
  to_bf16_rows(p, steps, x);
  const Tiles tiles;
  const std::size_t near = 1 + kNearBytes / (steps * 2 * kBf16Half * sizeof(Bf16));
  for (std::size_t begin = p.first_panel; begin < p.last_panel; begin += near) {
    const std::size_t end = smaller(begin + near, p.last_panel);
    for (std::size_t first = 0; first < p.rows; first += kRows)
      for (std::size_t panel = begin; panel < end; ++panel)
        multiply_group(p, x, steps, first, panel, sums);
  }
}

constexpr LinearKernels kKernels = {.name = "amx bf16",
                                    .dtype = Dtype::bfloat16,
                                    .panel_width = kBf16Panel,
                                    .row_step = kRows,
                                    .row_block = 128,
                                    .piece_flops = 256'000'000,
                                    .pieces_per_thread = 1,
                                    .packed_floats = bf16_packed_floats<Amx>,
                                    .scratch_floats = scratch_floats,
                                    .pack = bf16_pack<Amx>,
                                    .linear = linear,
                                    .unpack_row = bf16_unpack_row<Amx>,
                                    .attention_scratch = amx_attention_scratch<Amx>,
                                    .attention = amx_attention<Amx>};

}  // namespace

const LinearKernels* amx_bf16_kernels() { return &kKernels; }
#else
const LinearKernels* amx_bf16_kernels() { return nullptr; }
#endif

}  // namespace sheaf::kernels::cpu
