// Compiled for AMX-INT8 beside AVX-512 BF16 (cmake/Sheaf.cmake).
#include "kernels/cpu/kernels.h"

#if defined(__AMX_TILE__) && defined(__AMX_INT8__)
#include "kernels/cpu/amx_attention.h"
#include "kernels/cpu/amx_tiles.h"
#include "kernels/cpu/int8.h"
#endif

namespace sheaf::kernels::cpu {

#if defined(__AMX_TILE__) && defined(__AMX_INT8__)
namespace {

// A tile multiplies 16 rows by 16 outputs over one block of 64 inputs, exactly; what it holds then
// is scaled and added to float32 sums in registers, 16 vectors of them. 64 tiles' exact sums at a
// time lie in the first-level cache between the two.
struct Amx : NearTileShape<16, 12, 2> {
  static constexpr int raised = 0;
};

constexpr std::size_t kTile = kTileRows * 16;  // numbers in a tile of sums
constexpr std::size_t kTilesAcross = 4;        // of 32 rows x 32 outputs
constexpr std::size_t kBlocks = 8;             // of inputs between two scalings
constexpr std::size_t kNearBytes = 384 << 10;  // of weights, as in amx_bf16.cc

SHEAF_INLINE std::size_t rounded_up(std::size_t rows) {
  return (rows + kTileRows - 1) / kTileRows * kTileRows;
}

// A piece's rows in int8, and what it needs for 32 rows and a panel.
struct Scratch {
  std::int32_t* exact;  // [kBlocks][kTilesAcross][16][16]
  float* sums;          // [kTilesAcross][16][16]
  std::int8_t* x;       // [rows][blocks][64]
  float* scales;        // [rows][blocks]

  static std::size_t floats(std::size_t rows, std::size_t inputs) {
    const std::size_t row_floats = int8_blocks(inputs) * (kInt8Block / sizeof(float) + 1);
    return (kBlocks + 1) * kTilesAcross * kTile + rounded_up(rows) * row_floats;
  }
  SHEAF_INLINE explicit Scratch(const LinearPiece& p) {
    exact = reinterpret_cast<std::int32_t*>(p.scratch);
    sums = p.scratch + kBlocks * kTilesAcross * kTile;
    x = reinterpret_cast<std::int8_t*>(sums + kTilesAcross * kTile);
    scales = reinterpret_cast<float*>(x + rounded_up(p.rows) * int8_blocks(p.inputs) * kInt8Block);
  }
};

void to_int8_rows(const LinearPiece& p, std::size_t blocks, const Scratch& s) {
  for (std::size_t r = 0; r < p.rows; ++r)
    for (std::size_t block = 0; block < blocks; ++block) {
      const std::size_t k0 = block * kInt8Block;
      s.scales[r * blocks + block] =
          to_int8<Amx>(p.x + r * p.x_stride + k0, smaller(kInt8Block, p.inputs - k0),
                       s.x + (r * blocks + block) * kInt8Block)
              .scale;
    }
  const std::size_t more = (rounded_up(p.rows) - p.rows) * blocks;
  __builtin_memset(s.x + p.rows * blocks * kInt8Block, 0, more * kInt8Block);
  for (std::size_t i = 0; i < more; ++i) s.scales[p.rows * blocks + i] = 0;
  finish_stores();
}

// Exact sums of 16 or 32 rows and a panel over `count` blocks, one by one.
template <int RowTiles>
SHEAF_INLINE void multiply_blocks(const std::int8_t* x, std::size_t row_bytes,
                                  const std::uint8_t* weight, std::size_t count,
                                  std::int32_t* exact) {
  constexpr std::size_t kBytes = 1024;  // of a tile
  const std::int8_t* below = x + kTileRows * row_bytes;
  for (std::size_t block = 0; block < count; ++block) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_loadd(4, x, row_bytes);
    _tile_loadd(6, weight, 64);
    _tile_loadd(7, weight + kBytes, 64);
    _tile_dpbssd(0, 4, 6);
    _tile_dpbssd(1, 4, 7);
    if constexpr (RowTiles == 2) {
      _tile_zero(2);
      _tile_zero(3);
      _tile_loadd(5, below, row_bytes);
      _tile_dpbssd(2, 5, 6);
      _tile_dpbssd(3, 5, 7);
    }
    _tile_stored(0, exact, 64);
    _tile_stored(1, exact + kTile, 64);
    if constexpr (RowTiles == 2) {
      _tile_stored(2, exact + 2 * kTile, 64);
      _tile_stored(3, exact + 3 * kTile, 64);
    }
    x += kInt8Block;
    below += kInt8Block;
    weight += 2 * kBytes;
    exact += kTilesAcross * kTile;
  }
  finish_stores();
}

// Adds one tile's exact sums of `count` blocks to `sums`, scaled by those of its outputs [count]
// [32] and of its rows.
SHEAF_INLINE void add_scaled(const std::int32_t* exact, std::size_t count, const float* of_outputs,
                             const float* of_rows, std::size_t blocks,
                             Amx::Floats (&sums)[kTileRows]) {
  for (std::size_t block = 0; block < count; ++block) {
    const Amx::Floats of_column = Amx::load(of_outputs + block * Amx::panel);
#pragma GCC unroll 16
    for (std::size_t r = 0; r < kTileRows; ++r) {
      Amx::Ints whole;
      __builtin_memcpy(&whole, exact + block * kTilesAcross * kTile + r * 16, sizeof whole);
      const Amx::Floats scaled = __builtin_convertvector(whole, Amx::Floats) * of_column;
      sums[r] += scaled * of_rows[r * blocks + block];
    }
  }
}

struct Group {  // of up to 32 rows and one panel
  std::size_t first, rows, panel;
};

template <bool Whole>
SHEAF_INLINE void finish_tile(const LinearPiece& p, const Group& g, std::size_t tile,
                              const Amx::Floats (&sums)[kTileRows]) {
  const std::size_t above = tile / 2 * kTileRows;
  const std::size_t column = g.panel * Amx::panel + tile % 2 * 16;
  for (std::size_t r = 0; r < kTileRows && above + r < g.rows; ++r)
    finish<Amx, Whole>(p, g.first + above + r, column, sums[r]);
}

template <int RowTiles, bool Whole>
SHEAF_INLINE void multiply_group(const LinearPiece& p, const Group& g, const Scratch& s) {
  const std::size_t blocks = int8_blocks(p.inputs);
  const auto* weight =
      reinterpret_cast<const std::uint8_t*>(p.packed) + g.panel * int8_panel_bytes<Amx>(blocks);
  const auto* of_outputs =
      reinterpret_cast<const float*>(weight + blocks * Amx::panel * kInt8Block);
  for (std::size_t block = 0; block < blocks; block += kBlocks) {
    const std::size_t count = smaller(kBlocks, blocks - block);
    multiply_blocks<RowTiles>(s.x + (g.first * blocks + block) * kInt8Block, blocks * kInt8Block,
                              weight + block * Amx::panel * kInt8Block, count, s.exact);
    for (std::size_t tile = 0; tile < 2 * RowTiles; ++tile) {
      Amx::Floats sums[kTileRows];
#pragma GCC unroll 16
      for (std::size_t r = 0; r < kTileRows; ++r)
        sums[r] = block == 0 ? Amx::Floats{} : Amx::load(s.sums + tile * kTile + r * 16);
      add_scaled(s.exact + tile * kTile, count, of_outputs + block * Amx::panel + tile % 2 * 16,
                 s.scales + (g.first + tile / 2 * kTileRows) * blocks + block, blocks, sums);
      if (block + count == blocks) {
        finish_tile<Whole>(p, g, tile, sums);
      } else {
#pragma GCC unroll 16
        for (std::size_t r = 0; r < kTileRows; ++r)
          Amx::store(s.sums + tile * kTile + r * 16, sums[r]);
      }
    }
  }
}

template <int RowTiles>
SHEAF_INLINE void multiply_group(const LinearPiece& p, const Group& g, const Scratch& s) {
  if ((g.panel + 1) * Amx::panel <= p.outputs)
    multiply_group<RowTiles, true>(p, g, s);
  else
    multiply_group<RowTiles, false>(p, g, s);
}

void linear(const LinearPiece& p) {
  const std::size_t blocks = int8_blocks(p.inputs);
  const Scratch scratch(p);
  to_int8_rows(p, blocks, scratch);
  const Tiles tiles;
  const std::size_t near = 1 + kNearBytes / int8_panel_bytes<Amx>(blocks);
  for (std::size_t begin = p.first_panel; begin < p.last_panel; begin += near) {
    const std::size_t end = smaller(begin + near, p.last_panel);
    for (std::size_t first = 0; first < p.rows; first += kRows)
      for (std::size_t panel = begin; panel < end; ++panel) {
        const Group group{first, smaller(kRows, p.rows - first), panel};
        if (group.rows > kTileRows)
          multiply_group<2>(p, group, scratch);
        else
          multiply_group<1>(p, group, scratch);
      }
  }
}

constexpr LinearKernels kKernels = {.name = "amx int8",
                                    .dtype = Dtype::int8,
                                    .panel_width = Amx::panel,
                                    .row_step = kRows,
                                    .row_block = 128,
                                    .piece_flops = 256'000'000,
                                    .pieces_per_thread = 1,
                                    .packed_floats = int8_packed_floats<Amx>,
                                    .scratch_floats = Scratch::floats,
                                    .pack = int8_pack<Amx>,
                                    .linear = linear,
                                    .unpack_row = int8_unpack_row<Amx>,
                                    .attention_scratch = amx_attention_scratch<Amx>,
                                    .attention = amx_attention<Amx>};

}  // namespace

const LinearKernels* amx_int8_kernels() { return &kKernels; }
#else
const LinearKernels* amx_int8_kernels() { return nullptr; }
#endif

}  // namespace sheaf::kernels::cpu
