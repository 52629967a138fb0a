#pragma once

#include "kernels/cuda/async_copy.cuh"
#include "kernels/cuda/rows.cuh"

// Tiles in shared memory from which Hopper's matrix unit takes operands (warpgroup_mma.cuh).
namespace sheaf::kernels::cuda {

constexpr unsigned kWarpgroup = 128;  // threads
constexpr unsigned kWarpgroups = 2;   // of a block that has any

// Where an operand lies, for the instruction ("matrix descriptor").
using SharedOperand = std::uint64_t;

// Rows of kColumns elements of 16 bits in shared memory, in panels [kRows, up to 64] side by side.
// Eight rows of a panel are a pattern within which the 16 bytes that a column is in depend on the
// row, so that those of eight rows lie in all banks: the "128 byte swizzle", or that of 64 bytes
// for 32 columns. It begins at a multiple of 1024 bytes.
template <unsigned kRows, unsigned kColumns>
struct SwizzledTile {
  static constexpr unsigned kTileRows = kRows;
  static constexpr unsigned kTileColumns = kColumns;
  static constexpr unsigned kPanelColumns = kColumns < 64 ? kColumns : 64;
  static constexpr unsigned kPanelRow = 2 * kPanelColumns;  // bytes
  static constexpr unsigned kPanelBytes = kRows * kPanelRow;
  static constexpr unsigned kBytes = kColumns / kPanelColumns * kPanelBytes;
  static_assert(kPanelRow == 128 || kPanelRow == 64);
  static_assert(kColumns % kPanelColumns == 0 && kPanelBytes % 1024 == 0);

  // Bytes to an element.
  __device__ static constexpr unsigned place(unsigned row, unsigned column) {
    const unsigned at = row * kPanelRow + 2 * (column % kPanelColumns);
    return column / kPanelColumns * kPanelBytes + (at ^ at / 128 % (kPanelRow / 16) * 16);
  }

  // Columns [16 k, 16 k + 16) of the rows from `row` on, a multiple of 8, as operand by rows.
  __device__ static SharedOperand by_rows(std::uint32_t tile, unsigned row, unsigned k) {
    constexpr unsigned kPerPanel = kPanelColumns / 16;
    return operand(tile, k / kPerPanel * kPanelBytes + row * kPanelRow + k % kPerPanel * 32, 16);
  }
  // Rows [16 k, 16 k + 16) of the columns from `column` on, a panel's first, as operand b of
  // multiply_add_registers().
  __device__ static SharedOperand by_columns(std::uint32_t tile, unsigned k, unsigned column) {
    return operand(tile, column / kPanelColumns * kPanelBytes + k * 16 * kPanelRow, kPanelBytes);
  }

 private:
  // In units of 16 bytes: the address, `at` bytes into the tile, which are added last, so that
  // operands of one tile differ by numbers known to the compiler; from panel to panel, from eight
  // rows to the next; and which swizzle.
  __device__ static SharedOperand operand(std::uint32_t tile, unsigned at, unsigned panel) {
    constexpr std::uint64_t kSwizzle = kPanelRow == 128 ? 1 : 2;
    return SharedOperand{tile / 16 + at / 16 + (panel / 16 << 16)} |
           SharedOperand{8 * kPanelRow / 16} << 32 | kSwizzle << 62;
  }
};

// Rows [first, first + the tile's) of `from` into a tile, behind the next wait for copies; 0 from
// `rows` on. All threads of a block of kWarpgroups.
template <class Tile>
__device__ void copy_tile(const Bfloat16* from, std::size_t stride, std::uint32_t first,
                          std::uint32_t rows, std::byte* to) {
  constexpr unsigned kPerRow = Tile::kTileColumns / 8;  // copies of 16 bytes
  constexpr unsigned kStep = kWarpgroups * kWarpgroup / kPerRow;
  static_assert(Tile::kTileRows % kStep == 0 && kStep % 8 == 0);
  const unsigned row = threadIdx.x / kPerRow, column = threadIdx.x % kPerRow * 8;
  const Bfloat16* const mine = from + (std::size_t{first} + row) * stride + column;
  std::byte* const place = to + Tile::place(row, column);
  SHEAF_UNROLL
  for (unsigned i = 0; i < Tile::kTileRows; i += kStep) {
    const bool there = first + row + i < rows;
    copy_later(there ? mine + i * stride : from, there ? 16 : 0, place + i * Tile::kPanelRow);
  }
}

// A tile's rows that are all there, from `from` on.
template <class Tile>
__device__ void copy_whole_tile(const Bfloat16* from, std::size_t stride, std::byte* to) {
  constexpr unsigned kPerRow = Tile::kTileColumns / 8;
  constexpr unsigned kStep = kWarpgroups * kWarpgroup / kPerRow;
  static_assert(Tile::kTileRows % kStep == 0 && kStep % 8 == 0);
  const unsigned row = threadIdx.x / kPerRow, column = threadIdx.x % kPerRow * 8;
  const Bfloat16* mine = from + row * stride + column;
  std::byte* const place = to + Tile::place(row, column);
  SHEAF_UNROLL
  for (unsigned i = 0; i < Tile::kTileRows; i += kStep, mine += kStep * stride)
    copy_later(mine, 16, place + i * Tile::kPanelRow);
}

// Rows [row, row + count) of a tile to the first ones of `out`, 16 bytes at once. All lanes of a
// warp.
template <class Tile>
__device__ void copy_rows_out(const std::byte* tile, unsigned row, unsigned count,
                              const Rows<Bfloat16>& out) {
  using Eight = Pack<Bfloat16, 8>;
  constexpr unsigned kPerRow = Tile::kTileColumns / 8;
  for (unsigned i = lane_of_thread(); i < count * kPerRow; i += kWarpSize) {
    const unsigned r = i / kPerRow, column = i % kPerRow * 8;
    *reinterpret_cast<Eight*>(out.row(r) + column) =
        *reinterpret_cast<const Eight*>(tile + Tile::place(row + r, column));
  }
}

}  // namespace sheaf::kernels::cuda
