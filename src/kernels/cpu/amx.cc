// Compiled for AMX-BF16 beside AVX-512 (cmake/Sheaf.cmake): 32 rows x 32 outputs are four tiles of
// sums, each step of 32 inputs two tiles of rows and two of weights. Four products take 64 cycles
// and the loads of four tiles 32, so that rows and weights may come from the second-level cache.
#include "kernels/cpu/bf16.h"

namespace sheaf::kernels::cpu {

#if defined(__AMX_TILE__) && defined(__AMX_BF16__)
namespace {

struct Amx : TileShape<16, 12, 2> {};

constexpr std::size_t kTileRows = 16;
constexpr std::size_t kRows = 2 * kTileRows;  // at a time
constexpr std::size_t kSums = kRows * kBf16Panel;

SHEAF_INLINE std::size_t rounded_up(std::size_t rows) {
  return (rows + kTileRows - 1) / kTileRows * kTileRows;
}

// Sums of the rows at hand, then all rows of the piece in bfloat16.
std::size_t scratch_floats(std::size_t rows, std::size_t inputs) {
  return kSums + rounded_up(rows) * bf16_steps(inputs) * kBf16Step / 2;
}

struct alignas(64) TileConfig {
  std::uint8_t palette = 1;
  std::uint8_t start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// The compiler does not know that tiles are read from memory.
SHEAF_INLINE void finish_stores() { asm volatile("" ::: "memory"); }

// sums [16 * Tiles][32] = rows x times one panel. Tiles 0 to 3 are sums, 4 and 5 rows, 6 and 7
// weights.
template <int Tiles>
SHEAF_INLINE void multiply_tiles(const Bf16* x, std::size_t steps, const Bf16* weight,
                                 float* sums) {
  const std::size_t stride = steps * kBf16Step * sizeof(Bf16);
  const Bf16* below = x + kTileRows * steps * kBf16Step;
  _tile_zero(0);
  _tile_zero(1);
  if constexpr (Tiles == 2) {
    _tile_zero(2);
    _tile_zero(3);
  }
  for (std::size_t step = 0; step < steps; ++step) {
    _tile_loadd(4, x + step * kBf16Step, stride);
    _tile_loadd(6, weight, 64);
    _tile_loadd(7, weight + kBf16Half, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    if constexpr (Tiles == 2) {
      _tile_loadd(5, below + step * kBf16Step, stride);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
    weight += 2 * kBf16Half;
  }
  constexpr std::size_t kStride = kBf16Panel * sizeof(float);
  _tile_stored(0, sums, kStride);
  _tile_stored(1, sums + 16, kStride);
  if constexpr (Tiles == 2) {
    _tile_stored(2, sums + kTileRows * kBf16Panel, kStride);
    _tile_stored(3, sums + kTileRows * kBf16Panel + 16, kStride);
  }
}

template <bool Whole>
SHEAF_INLINE void finish_rows(const LinearPiece& p, std::size_t first, std::size_t rows,
                              std::size_t panel, const float* sums) {
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t v = 0; v < 2; ++v)
      finish<Amx, Whole>(p, first + r, panel * kBf16Panel + v * 16,
                         Amx::load(sums + r * kBf16Panel + v * 16));
}

void to_bf16_rows(const LinearPiece& p, std::size_t steps, Bf16* out) {
  const std::size_t row_numbers = steps * kBf16Step;
  for (std::size_t r = 0; r < p.rows; ++r)
    row_to_bf16(p.x + r * p.x_stride, p.inputs, out + r * row_numbers);
  for (std::size_t i = p.rows * row_numbers; i < rounded_up(p.rows) * row_numbers; ++i) out[i] = 0;
}

// Panels that are used for all rows before the next ones, so that they come from memory once and
// from the second-level cache then.
constexpr std::size_t kNearBytes = 384 << 10;

void multiply_group(const LinearPiece& p, std::size_t steps, const Bf16* x, std::size_t first,
                    std::size_t panel, float* sums) {
  const std::size_t rows = smaller(kRows, p.rows - first);
  const Bf16* of_panel = reinterpret_cast<const Bf16*>(p.packed) + panel * steps * 2 * kBf16Half;
  if (rows > kTileRows)
    multiply_tiles<2>(x + first * steps * kBf16Step, steps, of_panel, sums);
  else
    multiply_tiles<1>(x + first * steps * kBf16Step, steps, of_panel, sums);
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
  finish_stores();
  const TileConfig config;
  _tile_loadconfig(&config);
  const std::size_t near = 1 + kNearBytes / (steps * 2 * kBf16Half * sizeof(Bf16));
  for (std::size_t begin = p.first_panel; begin < p.last_panel; begin += near) {
    const std::size_t end = smaller(begin + near, p.last_panel);
    for (std::size_t first = 0; first < p.rows; first += kRows)
      for (std::size_t panel = begin; panel < end; ++panel)
        multiply_group(p, steps, x, first, panel, sums);
  }
  _tile_release();
}

constexpr LinearKernels kKernels = {.name = "amx bf16",
                                    .dtype = Dtype::bfloat16,
                                    .panel_width = kBf16Panel,
                                    .row_step = kRows,
                                    .row_block = 128,
                                    .piece_flops = 256'000'000,
                                    .packed_floats = bf16_packed_floats<Amx>,
                                    .scratch_floats = scratch_floats,
                                    .pack = bf16_pack<Amx>,
                                    .linear = linear,
                                    .unpack_row = bf16_unpack_row<Amx>};

}  // namespace

const LinearKernels* amx_bf16_kernels() { return &kKernels; }
#else
const LinearKernels* amx_bf16_kernels() { return nullptr; }
#endif

}  // namespace sheaf::kernels::cpu
