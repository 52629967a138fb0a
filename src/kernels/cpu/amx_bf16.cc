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
  return kSums + rounded_up(rows) * bf16_row_bytes<Amx>(inputs) / sizeof(float);
}

// Rows as the product takes them.
struct Rows {
  const Bf16* data;
  std::size_t row_bytes;
  std::size_t steps;

  SHEAF_INLINE const Bf16* at(std::size_t row) const {
    return data + row * row_bytes / sizeof(Bf16);
  }
};

void to_bf16_rows(const LinearPiece& p, Bf16* out) {
  const std::size_t row_numbers = bf16_row_bytes<Amx>(p.inputs) / sizeof(Bf16);
  for (std::size_t r = 0; r < p.rows; ++r)
    row_to_bf16(p.x + r * p.x_stride, p.inputs, out + r * row_numbers);
  __builtin_memset(out + p.rows * row_numbers, 0,
                   (rounded_up(p.rows) - p.rows) * row_numbers * sizeof(Bf16));
  finish_stores();
}

Rows rows_of(const LinearPiece& p) {
  const std::size_t row_bytes = bf16_row_bytes<Amx>(p.inputs), steps = bf16_steps(p.inputs);
  if (p.prepared != nullptr) return {reinterpret_cast<const Bf16*>(p.prepared), row_bytes, steps};
  auto* own = reinterpret_cast<Bf16*>(p.scratch + kSums);
  to_bf16_rows(p, own);
  return {own, row_bytes, steps};
}

template <bool Whole>
SHEAF_INLINE void finish_rows(const LinearPiece& p, std::size_t first, std::size_t rows,
                              std::size_t panel, const float* sums) {
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t v = 0; v < 2; ++v)
      finish<Amx, Whole>(p, first + r, panel * kBf16Panel + v * 16,
                         Amx::load(sums + r * kBf16Panel + v * 16));
}

// A panel of outputs is a step of the next product's inputs.
template <bool Whole>
SHEAF_INLINE void prepare_rows(const LinearPiece& p, std::size_t first, std::size_t rows,
                               std::size_t panel, const float* sums) {
  const std::size_t row_bytes = bf16_row_bytes<Amx>(p.outputs);
  const auto half = [&](std::size_t r, std::size_t v) {
    return reinterpret_cast<__m512>(finished<Amx, Whole>(
        p, first + r, panel * kBf16Panel + v * 16, Amx::load(sums + r * kBf16Panel + v * 16)));
  };
  for (std::size_t r = 0; r < rows; ++r) {
    const __m512bh both = _mm512_cvtne2ps_pbh(half(r, 1), half(r, 0));
    __builtin_memcpy(p.prepared_out + (first + r) * row_bytes + panel * 64, &both, sizeof both);
  }
}

template <bool Whole>
SHEAF_INLINE void end_rows(const LinearPiece& p, std::size_t first, std::size_t rows,
                           std::size_t panel, const float* sums) {
  if (p.prepared_out != nullptr)
    prepare_rows<Whole>(p, first, rows, panel, sums);
  else
    finish_rows<Whole>(p, first, rows, panel, sums);
}

SHEAF_INLINE void multiply_group(const LinearPiece& p, const Rows& x, std::size_t first,
                                 std::size_t panel, float* sums) {
  const std::size_t rows = smaller(kRows, p.rows - first);
  const Bf16* weight = reinterpret_cast<const Bf16*>(p.packed) + panel * x.steps * 2 * kBf16Half;
  if (first == 0)
    multiply_tiles<Weights::far>(x.at(first), x.row_bytes, rows, x.steps, weight, sums);
  else
    multiply_tiles<Weights::near>(x.at(first), x.row_bytes, rows, x.steps, weight, sums);
  if ((panel + 1) * kBf16Panel <= p.outputs)
    end_rows<true>(p, first, rows, panel, sums);
  else
    end_rows<false>(p, first, rows, panel, sums);
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
                                    .attention_scratch = amx_attention_scratch<Amx>,
                                    .attention = amx_attention<Amx>};

}  // namespace

const LinearKernels* amx_bf16_kernels() { return &kKernels; }
#else
const LinearKernels* amx_bf16_kernels() { return nullptr; }
#endif

}  // namespace sheaf::kernels::cpu
