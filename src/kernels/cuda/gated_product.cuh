#pragma once

#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/tile_place.cuh"
#include "kernels/cuda/warpgroup_mma.cuh"

// A product and the gate behind it in one, on Hopper: what the gate reads is never written. A block
// has 128 rows by 128 columns of the result, for each of which it multiplies by two outputs of the
// weight; its two warpgroups have 64 rows each, and keep both sums in registers. While the matrix
// unit multiplies 64 inputs the next ones are on their way.
namespace sheaf::kernels::cuda {

// Of bfloat16; all rows lie at multiples of 16 bytes.
struct GatedTask {
  Rows<const Bfloat16> x;       // [rows, inputs]
  Rows<const Bfloat16> weight;  // [2 * columns, inputs]
  Rows<Bfloat16> out;           // [rows, columns]
  unsigned rows = 0;
  unsigned columns = 0;  // a multiple of kGatedColumns
  unsigned inputs = 0;   // a multiple of kGatedInputs
};

constexpr unsigned kGatedRows = 128;
constexpr unsigned kGatedColumns = 128;
constexpr unsigned kGatedInputs = 64;
// Of inputs in shared memory: one that is multiplied, one whose product may still run, and two
// that come.
constexpr unsigned kGatedStages = 4;

struct GatedStage {
  using Part = SwizzledTile<128, kGatedInputs>;
  // Outputs for the left half of the result's columns, then those for the right half.
  using Outputs = SwizzledTile<2 * kGatedColumns, kGatedInputs>;
  static constexpr unsigned kBytes = Part::kBytes + Outputs::kBytes;
  std::byte *x, *outputs;

  __device__ GatedStage(std::byte* shared, unsigned i)
      : x(shared + i % kGatedStages * kBytes), outputs(x + Part::kBytes) {}
  // Inputs [64 i, 64 i + 64) of the rows and columns from `row` and `column` on.
  __device__ void copy(const GatedTask& task, unsigned row, unsigned column, unsigned i) const {
    const Bfloat16* const weight = task.weight.data + i * kGatedInputs;
    const std::size_t stride = task.weight.stride;
    copy_tile<Part>(task.x.data + i * kGatedInputs, task.x.stride, row, task.rows, x);
    copy_tile<Part>(weight, stride, column, task.columns, outputs);
    copy_tile<Part>(weight, stride, task.columns + column, 2 * task.columns,
                    outputs + Part::kBytes);
  }
};
static_assert(GatedStage::Outputs::kBytes == 2 * GatedStage::Part::kBytes);
constexpr std::size_t kGatedSharedBytes = std::size_t{kGatedStages} * GatedStage::kBytes;

// A warp's part of the result to `out`, by way of the rows of shared memory from `row` on.
template <Activation kActivation>
__device__ void write_gated(const float (&sums)[kGatedColumns / 4][4], std::byte* shared,
                            unsigned row, unsigned count, const Rows<Bfloat16>& out) {
  using Tile = SwizzledTile<kGatedRows, kGatedColumns>;
  static_assert(Tile::kBytes <= kGatedSharedBytes);
  const unsigned group = lane_of_thread() / 4;
  const unsigned place = lane_of_thread() % 4;
  SHEAF_UNROLL
  for (unsigned n = 0; n < kGatedColumns / 8; ++n) {
    const float(&left)[4] = sums[n];
    const float(&right)[4] = sums[kGatedColumns / 8 + n];
    SHEAF_UNROLL
    for (unsigned i = 0; i < 4; i += 2) {
      const float pair[2] = {activate(kActivation, left[i]) * right[i],
                             activate(kActivation, left[i + 1]) * right[i + 1]};
      store<2>(pair, reinterpret_cast<Bfloat16*>(
                         shared + Tile::place(row + group + i / 2 * 8, n * 8 + 2 * place)));
    }
  }
  __syncwarp();
  copy_rows_out<Tile>(shared, row, count, out);
}

// out = activation(left half) * right half of x W^T. Blocks: parts of the result.
template <Activation kActivation>
__global__ void __launch_bounds__(kWarpgroups* kWarpgroup) multiply_gated(GatedTask task) {
  if constexpr (kHasWarpgroups) {
    using Stage = GatedStage;
    std::byte* const shared = shared_memory<std::byte>();
    const TilePlace<kGatedRows, kGatedColumns> block(task.rows, task.columns);
    const unsigned steps = task.inputs / kGatedInputs;
    const auto copy = [&](unsigned i) {
      if (i < steps) Stage(shared, i).copy(task, block.row, block.column, i);
      commit_copies();
    };
    // From one lane, so that the compiler knows what all agree on.
    const unsigned warp = __shfl_sync(kAllLanes, threadIdx.x / kWarpSize, 0);
    float sums[kGatedColumns / 4][4];
    SHEAF_UNROLL
    for (unsigned n = 0; n < kGatedColumns / 4; ++n) {
      SHEAF_UNROLL
      for (unsigned i = 0; i < 4; ++i) sums[n][i] = 0;
    }
    copy(0);
    copy(1);
    for (unsigned step = 0; step < steps; ++step) {
      await_copies<1>();
      show_to_products();
      __syncthreads();  // the step's inputs are there, and nobody multiplies by those two before it
      copy(step + 2);
      const Stage stage(shared, step);
      begin_products();
      SHEAF_UNROLL
      for (unsigned k = 0; k < kGatedInputs / 16; ++k)
        multiply_by_rows<2 * kGatedColumns>(
            sums, Stage::Part::by_rows(shared_address(stage.x), warp / 4 * 64, k),
            Stage::Outputs::by_rows(shared_address(stage.outputs), 0, k), true);
      commit_products();
      await_products<1>();  // those of the step before
    }
    await_products<0>();
    __syncthreads();  // nobody reads shared memory any more
    const unsigned row = warp * 16;
    if (block.row + row < task.rows)
      write_gated<kActivation>(
          sums, shared, row, smaller(task.rows - block.row - row, 16U),
          Rows<Bfloat16>{task.out.row(block.row + row) + block.column, task.out.stride});
  } else {
    __trap();  // no other card is given it
  }
}

}  // namespace sheaf::kernels::cuda
