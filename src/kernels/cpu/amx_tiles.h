#pragma once

#include "kernels/cpu/bf16.h"

// Products of tiles by AMX-BF16: 32 rows x 32 outputs are four tiles of sums, each step of 32
// inputs two tiles of rows and two of weights. Four products take 64 cycles and the loads of four
// tiles 32, so that one of the two may come from the second-level cache. Only sources that are
// compiled for AMX may include this.
namespace sheaf::kernels::cpu {

constexpr std::size_t kTileRows = 16;
constexpr std::size_t kRows = 2 * kTileRows;  // at a time
constexpr std::size_t kSums = kRows * kBf16Panel;
// Panels that are used for all rows before the next ones, so that they come from memory once and
// from the second-level cache then, while a group's rows stay in the first.
constexpr std::size_t kNearBytes = 384 << 10;

SHEAF_INLINE std::size_t rounded_up(std::size_t rows) {
  return (rows + kTileRows - 1) / kTileRows * kTileRows;
}

struct alignas(64) TileConfig {
  std::uint8_t palette = 1;
  std::uint8_t start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// Tiles 0 to 3 are sums, 4 and 5 rows, 6 and 7 weights, of this thread, while it lives.
class Tiles {
 public:
  SHEAF_INLINE Tiles() {
    const TileConfig config;
    _tile_loadconfig(&config);
  }
  SHEAF_INLINE ~Tiles() { _tile_release(); }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;
};

// The compiler does not know that tiles are read from memory.
SHEAF_INLINE void finish_stores() { asm volatile("" ::: "memory"); }

// Where weights are: in a cache, or so far away that they are to be fetched into the second-level
// cache this much ahead, whose next lines the processor's own prefetcher does not ask for in time.
enum class Weights { near, far };
constexpr std::size_t kAhead = 16 << 10;  // bytes

SHEAF_INLINE void fetch_step(const Bf16* weight) {
  const char* at = reinterpret_cast<const char*>(weight) + kAhead;
#pragma GCC unroll 32
  for (std::size_t line = 0; line < 32; ++line) _mm_prefetch(at + line * 64, _MM_HINT_T1);
}

template <int RowTiles, Weights Where>
SHEAF_INLINE void multiply_row_tiles(const Bf16* x, std::size_t row_bytes, std::size_t steps,
                                     const Bf16* weight, float* sums, std::size_t sums_stride) {
  const Bf16* below = x + kTileRows * row_bytes / sizeof(Bf16);
  _tile_zero(0);
  _tile_zero(1);
  if constexpr (RowTiles == 2) {
    _tile_zero(2);
    _tile_zero(3);
  }
  for (std::size_t step = 0; step < steps; ++step) {
    if constexpr (Where == Weights::far) fetch_step(weight);
    _tile_loadd(4, x + step * kBf16Step, row_bytes);
    _tile_loadd(6, weight, 64);
    _tile_loadd(7, weight + kBf16Half, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    if constexpr (RowTiles == 2) {
      _tile_loadd(5, below + step * kBf16Step, row_bytes);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
    weight += 2 * kBf16Half;
  }
  const std::size_t sums_bytes = sums_stride * sizeof(float);
  _tile_stored(0, sums, sums_bytes);
  _tile_stored(1, sums + 16, sums_bytes);
  if constexpr (RowTiles == 2) {
    _tile_stored(2, sums + kTileRows * sums_stride, sums_bytes);
    _tile_stored(3, sums + kTileRows * sums_stride + 16, sums_bytes);
  }
}

// sums [rows rounded up to 16 or 32][32], sums_stride apart, = rows [1 .. 32] of x [.., steps of 32
// numbers], row_bytes apart, times one panel. What is read of x has been stored before
// finish_stores().
template <Weights Where>
SHEAF_INLINE void multiply_tiles(const Bf16* x, std::size_t row_bytes, std::size_t rows,
                                 std::size_t steps, const Bf16* panel, float* sums,
                                 std::size_t sums_stride = kBf16Panel) {
  if (rows > kTileRows)
    multiply_row_tiles<2, Where>(x, row_bytes, steps, panel, sums, sums_stride);
  else
    multiply_row_tiles<1, Where>(x, row_bytes, steps, panel, sums, sums_stride);
}

// Of attention (bf16_attention.h). One type a source file, so that no two share an instantiation.
template <class Arch>
struct TileProduct {
  static constexpr std::size_t rows = kRows;
  static SHEAF_INLINE void multiply(const Bf16* x, std::size_t row_bytes, std::size_t count,
                                    std::size_t steps, const Bf16* panel, float* sums,
                                    std::size_t sums_stride) {
    finish_stores();
    multiply_tiles<Weights::near>(x, row_bytes, count, steps, panel, sums, sums_stride);
    finish_stores();
  }
  Tiles tiles;
};

}  // namespace sheaf::kernels::cpu
