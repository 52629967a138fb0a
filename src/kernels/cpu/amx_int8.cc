// Compiled for AMX-INT8 beside AVX-512 BF16 (cmake/Sheaf.cmake).
#include "kernels/cpu/kernels.h"

#if defined(__AMX_TILE__) && defined(__AMX_INT8__)
#include "kernels/cpu/amx_tiles.h"
#include "kernels/cpu/bf16_attention.h"
#include "kernels/cpu/int8.h"
#endif

namespace sheaf::kernels::cpu {

#if defined(__AMX_TILE__) && defined(__AMX_INT8__)
namespace {

// Two products of tiles are 16 rows by 16 outputs over one block of 128 inputs, exactly; what the
// tile of sums holds then is scaled and added to float32 sums in registers, 16 vectors of them. 32
// tiles' exact sums at a time lie in the first-level cache between the two.
struct Amx : Int8Shape<16, 12, 2> {
  static constexpr int raised = 0;
};

constexpr std::size_t kTile = kTileRows * 16;  // numbers in a tile of sums
constexpr std::size_t kTilesAcross = 4;        // of 32 rows x 32 outputs
constexpr std::size_t kBlocks = 8;             // of inputs between two scalings

constexpr std::size_t kExactSums = kBlocks * kTilesAcross * kTile;
constexpr std::size_t kPanelsOfBlock = kInt8Block / Amx::panel;
constexpr std::size_t kOutputs = kRows * kInt8Block;  // of so many panels

// What 32 rows and a panel need, then a piece's rows in int8.
std::size_t scratch_floats(std::size_t rows, std::size_t inputs) {
  return kExactSums + kSums + kOutputs +
         rounded_up(rows) * int8_row_bytes<Amx>(inputs) / sizeof(float);
}

struct Scratch {
  std::int32_t* exact;  // [kBlocks][kTilesAcross][16][16]
  float* sums;          // [kTilesAcross][16][16], which are kSums
  float* outputs;       // [32][128]

  SHEAF_INLINE explicit Scratch(const LinearPiece& p)
      : exact(reinterpret_cast<std::int32_t*>(p.scratch)),
        sums(p.scratch + kExactSums),
        outputs(sums + kSums) {}
};

// Rows, and zeros up to a whole tile.
Int8Rows rows_of(const LinearPiece& p) {
  const std::size_t row_bytes = int8_row_bytes<Amx>(p.inputs);
  if (p.prepared != nullptr) return {p.prepared, row_bytes, int8_blocks(p.inputs)};
  auto* own = reinterpret_cast<std::byte*>(p.scratch + kExactSums + kSums + kOutputs);
  const Int8Rows rows = to_int8_rows<Amx>(p, own);
  __builtin_memset(own + p.rows * row_bytes, 0, (rounded_up(p.rows) - p.rows) * row_bytes);
  finish_stores();
  return rows;
}

// Exact sums of 16 or 32 rows and a panel over `count` blocks, one by one.
template <int RowTiles>
SHEAF_INLINE void multiply_blocks(const std::int8_t* x, std::size_t row_bytes,
                                  const std::uint8_t* weight, std::size_t count,
                                  std::int32_t* exact) {
  constexpr std::size_t kBytes = 1024, kInputs = 64;  // of a tile
  constexpr std::size_t kTiles = kInt8Block / kInputs;
  const std::int8_t* below = x + kTileRows * row_bytes;
  for (std::size_t block = 0; block < count; ++block) {
    _tile_zero(0);
    _tile_zero(1);
    if constexpr (RowTiles == 2) {
      _tile_zero(2);
      _tile_zero(3);
    }
#pragma GCC unroll 2
    for (std::size_t tile = 0; tile < kTiles; ++tile) {
      _tile_loadd(4, x + tile * kInputs, row_bytes);
      _tile_loadd(6, weight + tile * kBytes, 64);
      _tile_loadd(7, weight + (kTiles + tile) * kBytes, 64);
      _tile_dpbssd(0, 4, 6);
      _tile_dpbssd(1, 4, 7);
      if constexpr (RowTiles == 2) {
        _tile_loadd(5, below + tile * kInputs, row_bytes);
        _tile_dpbssd(2, 5, 6);
        _tile_dpbssd(3, 5, 7);
      }
    }
    _tile_stored(0, exact, 64);
    _tile_stored(1, exact + kTile, 64);
    if constexpr (RowTiles == 2) {
      _tile_stored(2, exact + 2 * kTile, 64);
      _tile_stored(3, exact + 3 * kTile, 64);
    }
    x += kInt8Block;
    below += kInt8Block;
    weight += 2 * kTiles * kBytes;
    exact += kTilesAcross * kTile;
  }
  finish_stores();
}

// Adds one tile's exact sums of `count` blocks to `sums`, scaled by those of its outputs [count]
// [32] and of its rows.
SHEAF_INLINE void add_scaled(const std::int32_t* exact, std::size_t count, const float* of_outputs,
                             const Int8Block* of_rows, std::size_t row_blocks,
                             Amx::Floats (&sums)[kTileRows]) {
  for (std::size_t block = 0; block < count; ++block) {
    const Amx::Floats of_column = Amx::load(of_outputs + block * Amx::panel);
#pragma GCC unroll 16
    for (std::size_t r = 0; r < kTileRows; ++r) {
      Amx::Ints whole;
      __builtin_memcpy(&whole, exact + block * kTilesAcross * kTile + r * 16, sizeof whole);
      const Amx::Floats scaled = __builtin_convertvector(whole, Amx::Floats) * of_column;
      sums[r] += scaled * of_rows[r * row_blocks + block].scale;
    }
  }
}

struct Group {  // of up to 32 rows and one panel
  std::size_t first, rows, panel;
};

template <bool Whole>
SHEAF_INLINE void finish_tile(const LinearPiece& p, const Group& g, std::size_t tile,
                              const Amx::Floats (&sums)[kTileRows], float* outputs) {
  const std::size_t above = tile / 2 * kTileRows, right = tile % 2 * 16;
  const std::size_t column = g.panel * Amx::panel + right;
  outputs += g.panel % kPanelsOfBlock * Amx::panel + right;
  for (std::size_t r = above; r < above + kTileRows && r < g.rows; ++r)
    if (p.prepared_out != nullptr)
      Amx::store(outputs + r * kInt8Block,
                 finished<Amx, Whole>(p, g.first + r, column, sums[r - above]));
    else if (p.out_states != nullptr)
      finish_state<Amx, Whole>(p, g.first + r, column, sums[r - above]);
    else
      finish<Amx, Whole>(p, g.first + r, column, sums[r - above]);
}

// kPanelsOfBlock panels of outputs are a block of the next product's inputs.
SHEAF_INLINE void prepare_block(const LinearPiece& p, const Group& g, const float* outputs) {
  const std::size_t blocks = int8_blocks(p.outputs), block = g.panel / kPanelsOfBlock;
  const std::size_t count = smaller(kInt8Block, p.outputs - block * kInt8Block);
  for (std::size_t r = 0; r < g.rows; ++r)
    put_int8_block<Amx>(outputs + r * kInt8Block, count, block, blocks, p.prepared_for,
                        p.prepared_out + (g.first + r) * int8_row_bytes<Amx>(p.outputs));
}

template <int RowTiles, bool Whole>
SHEAF_INLINE void multiply_group(const LinearPiece& p, const Int8Rows& x, const Group& g,
                                 const Scratch& s) {
  const std::uint8_t* weight =
      int8_panels(p.packed, x.blocks) + g.panel * int8_panel_bytes<Amx>(x.blocks);
  const auto* of_outputs =
      reinterpret_cast<const float*>(weight + x.blocks * Amx::panel * kInt8Block);
  for (std::size_t block = 0; block < x.blocks; block += kBlocks) {
    const std::size_t count = smaller(kBlocks, x.blocks - block);
    multiply_blocks<RowTiles>(x.numbers(g.first) + block * kInt8Block, x.row_bytes,
                              weight + block * Amx::panel * kInt8Block, count, s.exact);
    for (std::size_t tile = 0; tile < 2 * RowTiles; ++tile) {
      Amx::Floats sums[kTileRows];
#pragma GCC unroll 16
      for (std::size_t r = 0; r < kTileRows; ++r)
        sums[r] = block == 0 ? Amx::Floats{} : Amx::load(s.sums + tile * kTile + r * 16);
      add_scaled(s.exact + tile * kTile, count, of_outputs + block * Amx::panel + tile % 2 * 16,
                 x.of_blocks(g.first + tile / 2 * kTileRows) + block,
                 x.row_bytes / sizeof(Int8Block), sums);
      if (block + count == x.blocks) {
        finish_tile<Whole>(p, g, tile, sums, s.outputs);
      } else {
#pragma GCC unroll 16
        for (std::size_t r = 0; r < kTileRows; ++r)
          Amx::store(s.sums + tile * kTile + r * 16, sums[r]);
      }
    }
  }
  const bool of_block = (g.panel + 1) % kPanelsOfBlock == 0 || g.panel + 1 == p.last_panel;
  if (p.prepared_out != nullptr && of_block) prepare_block(p, g, s.outputs);
}

template <int RowTiles>
SHEAF_INLINE void multiply_group(const LinearPiece& p, const Int8Rows& x, const Group& g,
                                 const Scratch& s) {
  if ((g.panel + 1) * Amx::panel <= p.outputs)
    multiply_group<RowTiles, true>(p, x, g, s);
  else
    multiply_group<RowTiles, false>(p, x, g, s);
}

void linear(const LinearPiece& p) {
  const Scratch scratch(p);
  const Int8Rows x = rows_of(p);
  const Tiles tiles;
  const std::size_t near_blocks = kNearBytes / int8_panel_bytes<Amx>(x.blocks) / kPanelsOfBlock;
  const std::size_t near = (1 + near_blocks) * kPanelsOfBlock;
  for (std::size_t begin = p.first_panel; begin < p.last_panel; begin += near) {
    const std::size_t end = smaller(begin + near, p.last_panel);
    for (std::size_t first = 0; first < p.rows; first += kRows)
      for (std::size_t panel = begin; panel < end; ++panel) {
        const Group group{first, smaller(kRows, p.rows - first), panel};
        if (group.rows > kTileRows)
          multiply_group<2>(p, x, group, scratch);
        else
          multiply_group<1>(p, x, group, scratch);
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
                                    .prepared_bytes = int8_row_bytes<Amx>,
                                    .prepared_panels = kPanelsOfBlock,
                                    .scratch_floats = scratch_floats,
                                    .pack = int8_pack<Amx>,
                                    .linear = linear,
                                    .unpack_row = int8_unpack_row<Amx>,
                                    .states = &kBf16States<TileProduct<Amx>>};

}  // namespace

const LinearKernels* amx_int8_kernels() { return &kKernels; }
#else
const LinearKernels* amx_int8_kernels() { return nullptr; }
#endif

}  // namespace sheaf::kernels::cpu
