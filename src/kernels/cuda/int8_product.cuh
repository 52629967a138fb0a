#pragma once

#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/mma.cuh"
#include "kernels/cuda/quantize.cuh"
#include "kernels/cuda/swizzled_tile.cuh"
#include "kernels/cuda/tile_place.cuh"

// Products in int8, by mma.sync: what it sums up of kInt8Block inputs is exact, multiplied by the
// scales of row and output, and added up in float32, which is what no library's product does; then
// bias, activation and residual. A block has 96 rows by 96 outputs, each of its four warps 48 by
// 48, whose sums stay in registers. While kInt8Block inputs are multiplied the next are on their
// way.
namespace sheaf::kernels::cuda {

// Rows as quantize.cuh has them, [blocks, rows, kInt8Block] and [blocks, rows_of_scales(rows)].
struct Int8Rows {
  const Int8* codes = nullptr;
  const float* scales = nullptr;
  unsigned rows = 0;
};

// out = activation(x W^T + bias) + residual. Codes and scales lie at multiples of 16 bytes; with
// kWide outputs at once `bias` and all rows of `out` and `residual` do too.
template <class E>
struct Int8Task {
  Int8Rows x, weight;
  unsigned blocks = 0;      // of inputs
  const E* bias = nullptr;  // [outputs]; null: none
  Rows<const E> residual;   // without data: none; may be out
  Activation activation = Activation::none;
  Rows<E> out;
};

// Of a block of threads, two warps by two, and of a warp.
constexpr unsigned kInt8Tile = 96;  // rows, and outputs
constexpr unsigned kInt8WarpTile = kInt8Tile / 2;
constexpr unsigned kInt8Threads = 4 * kWarpSize;

// kInt8Block inputs of a tile's rows, or outputs, in shared memory, with their scales.
struct Int8Part {
  using Tile = SwizzledTile<kInt8Tile, kInt8Block / 2>;  // of pairs of codes
  static constexpr unsigned kBytes = Tile::kBytes + 1024;
  std::byte* codes;

  // The 16 bytes that `column` is in; to those of the rows below, 8 or more of them, it is
  // kRowBytes each.
  static constexpr unsigned kRowBytes = kInt8Block;
  __device__ std::byte* place(unsigned row, unsigned column) const {
    return codes + Tile::place(row, column / 2);
  }
  __device__ float* scales() const { return reinterpret_cast<float*>(codes + Tile::kBytes); }

  // Block i of the rows from `first` on, of as many as there are: the others stay what they were,
  // and what is made of them is not written.
  __device__ void copy(const Int8Rows& rows, unsigned first, unsigned i) const {
    constexpr unsigned kPerRow = kInt8Block / 16;  // copies
    constexpr unsigned kStep = kInt8Threads / kPerRow;
    const unsigned count = smaller(rows.rows - first, kInt8Tile);
    const unsigned row = threadIdx.x / kPerRow, column = threadIdx.x % kPerRow * 16;
    const std::size_t above = std::size_t{i} * rows.rows + first + row;
    const Int8* const from = rows.codes + above * kInt8Block + column;
    std::byte* const to = place(row, column);
    SHEAF_UNROLL
    for (unsigned r = 0; r < kInt8Tile; r += kStep)
      if (row + r < count) copy_later(from + r * kInt8Block, 16, to + r * kRowBytes);
    const unsigned four = threadIdx.x * 4;
    if (four < count)
      copy_later(rows.scales + i * rows_of_scales(rows.rows) + first + four, 16, scales() + four);
  }
};

struct Int8Stage {
  static constexpr unsigned kBytes = 2 * Int8Part::kBytes;
  Int8Part x, weight;

  __device__ Int8Stage(std::byte* shared, unsigned i)
      : x{shared + i % 2 * kBytes}, weight{x.codes + Int8Part::kBytes} {}
};
constexpr std::size_t kInt8SharedBytes = std::size_t{2} * Int8Stage::kBytes;

// Of a warp's rows and outputs, in fragments of [16, 8].
using Int8Sums = float[kInt8WarpTile / 8][kInt8WarpTile / 16][4];

// The fragments of a warp's rows, from `row` on: [16, 32] codes each.
struct Int8Operands {
  static constexpr unsigned kParts = kInt8WarpTile / 16;
  static constexpr unsigned kSteps = kInt8Block / 32;
  std::uint32_t codes[kSteps][kParts][4];
  float scales[kParts][2];

  __device__ Int8Operands(const Int8Part& from, unsigned row) {
    const unsigned lane = lane_of_thread();
    SHEAF_UNROLL
    for (unsigned k = 0; k < kSteps; ++k) {
      const std::byte* const at = from.place(row + lane % 16, k * 32 + lane / 16 * 16);
      SHEAF_UNROLL
      for (unsigned part = 0; part < kParts; ++part)
        load_matrices<Matrices::as_they_lie>(at + part * 16 * Int8Part::kRowBytes, codes[k][part]);
    }
    const float* const of_rows = from.scales() + row + lane / 4;
    SHEAF_UNROLL
    for (unsigned i = 0; i < 2 * kParts; ++i) scales[i / 2][i % 2] = of_rows[i * 8];
  }
};

// sums += x W^T of a stage, for the warp's rows and outputs from `row` and `column` on.
__device__ inline void multiply_stage(const Int8Stage& stage, unsigned row, unsigned column,
                                      Int8Sums& sums) {
  using Operands = Int8Operands;
  // Bits of 1.5 * 2^23, to which a whole number below 2^22 is added as to an integer: less that, it
  // is there as float32, by one addition. A block's sum is 128 * 127 * 127 at most.
  constexpr std::int32_t kBits = 0x4b400000;
  constexpr float kStart = 12582912;
  const Operands x(stage.x, row);
  const unsigned lane = lane_of_thread();
  const std::byte* const at[] = {stage.weight.place(column + lane % 8, lane / 8 * 16),
                                 stage.weight.place(column + lane % 8, 64 + lane / 8 * 16)};
  const float* const of_outputs = stage.weight.scales() + column + lane % 4 * 2;
  SHEAF_UNROLL
  for (unsigned n = 0; n < kInt8WarpTile / 8; ++n) {
    std::int32_t exact[Operands::kParts][4];
    SHEAF_UNROLL
    for (unsigned part = 0; part < Operands::kParts; ++part) {
      SHEAF_UNROLL
      for (unsigned i = 0; i < 4; ++i) exact[part][i] = kBits;
    }
    SHEAF_UNROLL
    for (unsigned k = 0; k < Operands::kSteps; k += 2) {
      std::uint32_t b[4];
      load_matrices<Matrices::as_they_lie>(at[k / 2] + n * 8 * Int8Part::kRowBytes, b);
      SHEAF_UNROLL
      for (unsigned part = 0; part < Operands::kParts; ++part)
        multiply_add_int8(exact[part], x.codes[k][part], {b[0], b[1]});
      SHEAF_UNROLL
      for (unsigned part = 0; part < Operands::kParts; ++part)
        multiply_add_int8(exact[part], x.codes[k + 1][part], {b[2], b[3]});
    }
    float scales[2];
    load<2>(of_outputs + n * 8, scales);
    SHEAF_UNROLL
    for (unsigned part = 0; part < Operands::kParts; ++part) {
      SHEAF_UNROLL
      for (unsigned i = 0; i < 4; ++i)
        sums[n][part][i] +=
            (__int_as_float(exact[part][i]) - kStart) * (x.scales[part][i / 2] * scales[i % 2]);
    }
  }
}

// Where a warp lays its sums before they are written row by row: eight neighbours stay together,
// and those of four rows that are written at once lie in different banks.
constexpr unsigned kInt8SumStride = 64;
__device__ inline unsigned place_of_sum(unsigned row, unsigned column) {
  return row * kInt8SumStride + (column / 8 ^ row % 8) * 8 + column % 8;
}

// A warp's sums from `row` and `column` on, finished, to the result, by way of its part of shared
// memory [kInt8WarpTile, kInt8SumStride].
template <unsigned kCount, class E>
__device__ void finish_sums(const Int8Task<E>& task, unsigned row, unsigned column,
                            const Int8Sums& sums, float* shared) {
  const unsigned lane = lane_of_thread();
  SHEAF_UNROLL
  for (unsigned n = 0; n < kInt8WarpTile / 8; ++n) {
    SHEAF_UNROLL
    for (unsigned i = 0; i < kInt8WarpTile / 8; ++i) {
      const float(&part)[4] = sums[n][i / 2];
      const float pair[2] = {part[i % 2 * 2], part[i % 2 * 2 + 1]};
      store<2>(pair, shared + place_of_sum(i * 8 + lane / 4, n * 8 + lane % 4 * 2));
    }
  }
  __syncwarp();
  constexpr unsigned kPerRow = kInt8WarpTile / kCount;
  for (unsigned i = lane; i < kInt8WarpTile * kPerRow; i += kWarpSize) {
    const unsigned down = i / kPerRow, along = i % kPerRow * kCount;
    if (row + down >= task.x.rows || column + along >= task.weight.rows) continue;
    float x[kCount];
    load<kCount>(shared + place_of_sum(down, along), x);
    if (task.bias != nullptr) add<kCount>(task.bias + column + along, x);
    SHEAF_UNROLL
    for (unsigned j = 0; j < kCount; ++j) x[j] = activate(task.activation, x[j]);
    if (task.residual.data != nullptr)
      add<kCount>(task.residual.row(row + down) + column + along, x);
    store<kCount>(x, task.out.row(row + down) + column + along);
  }
}

// Blocks: tiles of the result.
template <unsigned kCount, class E>
__global__ void __launch_bounds__(kInt8Threads, 2) multiply_int8(Int8Task<E> task) {
  std::byte* const shared = shared_memory<std::byte>();
  const TilePlace<kInt8Tile, kInt8Tile> tile(task.x.rows, task.weight.rows);
  const unsigned warp = threadIdx.x / kWarpSize;
  const unsigned row = warp / 2 * kInt8WarpTile, column = warp % 2 * kInt8WarpTile;
  const auto copy = [&](unsigned i) {
    if (i < task.blocks) {
      const Int8Stage stage(shared, i);
      stage.x.copy(task.x, tile.row, i);
      stage.weight.copy(task.weight, tile.column, i);
    }
    commit_copies();
  };
  const bool has_part = tile.row + row < task.x.rows && tile.column + column < task.weight.rows;
  Int8Sums sums = {};
  copy(0);
  for (unsigned i = 0; i < task.blocks; ++i) {
    await_copies<0>();
    __syncthreads();  // the inputs are there, and nobody reads those before them
    copy(i + 1);
    if (has_part) multiply_stage(Int8Stage(shared, i), row, column, sums);
  }
  __syncthreads();  // nobody reads shared memory any more
  if (has_part)
    finish_sums<kCount>(task, tile.row + row, tile.column + column, sums,
                        reinterpret_cast<float*>(shared) + warp * kInt8WarpTile * kInt8SumStride);
}
static_assert(kInt8SharedBytes >= 4 * kInt8WarpTile * kInt8SumStride * sizeof(float));

}  // namespace sheaf::kernels::cuda
