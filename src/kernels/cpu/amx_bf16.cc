// Compiled for AMX-BF16 beside AVX-512 (cmake/Sheaf.cmake).
#include "kernels/cpu/kernels.h"

#if defined(__AMX_TILE__) && defined(__AMX_BF16__)
#include "kernels/cpu/amx_tiles.h"
#include "kernels/cpu/bf16_attention.h"
#endif

namespace sheaf::kernels::cpu {

#if defined(__AMX_TILE__) && defined(__AMX_BF16__)
namespace {

struct Amx : NearTileShape<16, 12, 2> {};

// Sums of the rows at hand, then all rows of the piece in bfloat16.
std::size_t scratch_floats(std::size_t rows, std::size_t inputs) {
  return kSums + rounded_up(rows) * bf16_row_bytes<Amx>(inputs) / sizeof(float);
}

// Rows as the product takes them: whole steps, and whole tiles, of which those from `copied` on
// stand in `copies`.
struct Rows {
  const Bf16* data;
  std::size_t row_bytes;
  std::size_t steps;
  std::size_t copied = static_cast<std::size_t>(-1);
  const Bf16* copies = nullptr;
  std::size_t copy_bytes = 0;  // of a row

  SHEAF_INLINE const Bf16* at(std::size_t row) const {
    return row >= copied ? copies + (row - copied) * copy_bytes / sizeof(Bf16)
                         : data + row * row_bytes / sizeof(Bf16);
  }
  SHEAF_INLINE std::size_t bytes_at(std::size_t row) const {
    return row >= copied ? copy_bytes : row_bytes;
  }
};

// Rows [first, p.rows), and zeros up to a whole tile.
template <class State>
void to_bf16_rows(const State* x, const LinearPiece& p, std::size_t first, Bf16* out) {
  const std::size_t row_numbers = bf16_row_bytes<Amx>(p.inputs) / sizeof(Bf16);
  const std::size_t rows = p.rows - first;
  for (std::size_t r = 0; r < rows; ++r)
    row_to_bf16(x + (first + r) * p.x_stride, p.inputs, out + r * row_numbers);
  __builtin_memset(out + rows * row_numbers, 0,
                   (rounded_up(rows) - rows) * row_numbers * sizeof(Bf16));
  finish_stores();
}

// States of whole steps are taken from where they are, but for the last few rows: a tile would read
// beyond them.
Rows rows_of(const LinearPiece& p) {
  const std::size_t row_bytes = bf16_row_bytes<Amx>(p.inputs), steps = bf16_steps(p.inputs);
  if (p.prepared != nullptr) return {reinterpret_cast<const Bf16*>(p.prepared), row_bytes, steps};
  auto* own = reinterpret_cast<Bf16*>(p.scratch + kSums);
  if (p.x_states == nullptr) {
    to_bf16_rows(p.x, p, 0, own);
    return {own, row_bytes, steps};
  }
  const std::size_t whole = p.inputs % kBf16Step == 0 ? p.rows / kRows * kRows : 0;
  to_bf16_rows(p.x_states, p, whole, own);
  return {p.x_states, p.x_stride * sizeof(Bf16), steps, whole, own, row_bytes};
}

template <bool Whole>
SHEAF_INLINE void finish_rows(const LinearPiece& p, std::size_t first, std::size_t rows,
                              std::size_t panel, const float* sums) {
  for (std::size_t r = 0; r < rows; ++r, sums += kBf16Panel)
    finish_panel_row<Amx, Whole>(p, first + r, panel,
                                 {_mm512_loadu_ps(sums), _mm512_loadu_ps(sums + 16)});
}

SHEAF_INLINE void multiply_group(const LinearPiece& p, const Rows& x, std::size_t first,
                                 std::size_t panel, float* sums) {
  const std::size_t rows = smaller(kRows, p.rows - first);
  const Bf16* weight = reinterpret_cast<const Bf16*>(p.packed) + panel * x.steps * 2 * kBf16Half;
  if (first == 0)
    multiply_tiles<Weights::far>(x.at(first), x.bytes_at(first), rows, x.steps, weight, sums);
  else
    multiply_tiles<Weights::near>(x.at(first), x.bytes_at(first), rows, x.steps, weight, sums);
  if ((panel + 1) * kBf16Panel <= p.outputs)
    finish_rows<true>(p, first, rows, panel, sums);
  else
    finish_rows<false>(p, first, rows, panel, sums);
}

void linear(const LinearPiece& p) {
  const Rows x = rows_of(p);
  const Tiles tiles;
  const std::size_t near = 1 + kNearBytes / (x.steps * 2 * kBf16Half * sizeof(Bf16));
  for (std::size_t begin = p.first_panel; begin < p.last_panel; begin += near) {
    const std::size_t end = smaller(begin + near, p.last_panel);
    for (std::size_t first = 0; first < p.rows; first += kRows)
      for (std::size_t panel = begin; panel < end; ++panel)
        multiply_group(p, x, first, panel, p.scratch);
  }
}

constexpr LinearKernels kKernels = {.name = "amx bf16",
                                    .dtype = Dtype::bfloat16,
                                    .panel_width = kBf16Panel,
                                    .row_step = kRows,
                                    .row_block = 256,
                                    .piece_flops = 256'000'000,
                                    .pieces_per_thread = 1,
                                    .packed_floats = bf16_packed_floats<Amx>,
                                    .prepared_bytes = bf16_row_bytes<Amx>,
                                    .prepared_panels = 1,
                                    .scratch_floats = scratch_floats,
                                    .pack = bf16_pack<Amx>,
                                    .linear = linear,
                                    .unpack_row = bf16_unpack_row<Amx>,
                                    .states = &kBf16States<TileProduct<Amx>>};

}  // namespace

const LinearKernels* amx_bf16_kernels() { return &kKernels; }
#else
const LinearKernels* amx_bf16_kernels() { return nullptr; }
#endif

}  // namespace sheaf::kernels::cpu
