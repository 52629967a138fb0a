#pragma once

#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/mma.cuh"
#include "kernels/cuda/norm.cuh"
#include "kernels/cuda/warpgroup_mma.cuh"

// A layer's feed-forward part and the norm behind it in one, on Hopper, for models of 384 columns:
// what lies between the two products is never written. A block has 128 rows, which stay in shared
// memory; each of its two warpgroups keeps all columns of 64 of them as sums in registers, and
// walks along the middle in chunks of 64 columns. While the matrix unit multiplies one chunk by
// `down`, the next one, whose product with `up` is there, is activated.
namespace sheaf::kernels::cuda {

constexpr unsigned kFedRows = 128;
constexpr unsigned kFedColumns = 384;
constexpr unsigned kFedChunk = 64;

// In bfloat16; all rows and vectors lie at multiples of 16 bytes.
struct FeedForwardTask {
  Rows<const Bfloat16> x;               // [rows, kFedColumns]
  const Bfloat16* up = nullptr;         // [middle, kFedColumns]
  const Bfloat16* up_bias = nullptr;    // [middle]; null: none
  const Bfloat16* down = nullptr;       // [kFedColumns, middle]
  const Bfloat16* down_bias = nullptr;  // [kFedColumns]; null: none
  NormParameters norm;                  // of kFedColumns
  Rows<Bfloat16> out;                   // [rows, kFedColumns]; may be x
  unsigned rows = 0;
  unsigned middle = 0;  // a multiple of kFedChunk
};

// Weights come in parts, each of which is one step's: of `up` a chunk's outputs by 128 inputs, of
// `down` 128 outputs by a chunk. A round has the steps of a chunk's product with `up`, then those
// of the product of the chunk before with `down`. To have them at one place each, which keeps sums
// in their registers, the first round has zeros for a chunk before, and the last one a product that
// nobody asks for.
constexpr unsigned kFedParts = kFedColumns / 128;
constexpr unsigned kFedSteps = 2 * kFedParts;  // of a round
// Steps whose parts are on their way, and those whose products may still run; besides them one is
// multiplied.
constexpr unsigned kFedComing = 3;
constexpr unsigned kFedPending = kFedParts;

// A block's shared memory: its rows, a chunk as `down` takes it, parts of weights, and biases of
// two chunks.
struct FedMemory {
  using Panel = SwizzledTile<kFedRows, 64>;
  using Tile = SwizzledTile<kFedRows, kFedColumns>;
  using Chunk = SwizzledTile<kFedRows, kFedChunk>;
  using Up = SwizzledTile<kFedChunk, 128>;
  using Down = SwizzledTile<128, kFedChunk>;
  static_assert(Up::kBytes == Down::kBytes);
  static constexpr unsigned kStages = kFedComing + kFedPending + 1;
  static constexpr unsigned kBiasBytes = kFedChunk * sizeof(Bfloat16);
  static constexpr std::size_t kBytes =
      std::size_t{Tile::kBytes} + Chunk::kBytes + kStages * Up::kBytes + 2 * kBiasBytes;

  std::byte* const tile;

  __device__ std::byte* chunk() const { return tile + Tile::kBytes; }
  __device__ std::byte* part(unsigned step) const {
    return chunk() + Chunk::kBytes + step % kStages * Up::kBytes;
  }
  __device__ Bfloat16* bias(unsigned chunk) const {
    return reinterpret_cast<Bfloat16*>(tile + kBytes - (chunk % 2 + 1) * kBiasBytes);
  }
};

// The rows from `row` on begin to come, and zeros for a chunk.
__device__ inline void copy_fed_rows(const FeedForwardTask& task, unsigned row,
                                     const FedMemory& memory) {
  using Panel = FedMemory::Panel;
  copy_tile<FedMemory::Chunk>(task.x.data, task.x.stride, 0, 0, memory.chunk());
  for (unsigned i = 0; i < kFedColumns / 64; ++i)
    copy_tile<Panel>(task.x.data + i * 64, task.x.stride, row, task.rows,
                     memory.tile + i * Panel::kBytes);
}

// What a step multiplies begins to come, with a chunk's first part its biases; `step` may be of the
// round behind. Where there is no such chunk, that of another.
__device__ inline void copy_fed_part(const FeedForwardTask& task, unsigned round, unsigned step,
                                     const FedMemory& memory) {
  round += step / kFedSteps;
  step %= kFedSteps;
  std::byte* const to = memory.part(round * kFedSteps + step);
  if (step < kFedParts) {
    const unsigned first = smaller(round * kFedChunk, task.middle - kFedChunk);
    copy_whole_tile<FedMemory::Up>(task.up + std::size_t{first} * kFedColumns + step * 128,
                                   kFedColumns, to);
    if (step == 0 && threadIdx.x < kFedChunk / 8) {
      const Bfloat16* const biases = task.up_bias == nullptr ? task.up : task.up_bias;
      copy_later(biases + first + threadIdx.x * 8, task.up_bias == nullptr ? 0 : 16,
                 memory.bias(round) + threadIdx.x * 8);
    }
  } else {
    const unsigned chunk = round > 0 ? round - 1 : 0;
    const std::size_t output = (step - kFedParts) * 128;
    copy_whole_tile<FedMemory::Down>(task.down + output * task.middle + chunk * kFedChunk,
                                     task.middle, to);
  }
  commit_copies();
}

// What a lane has of its warpgroup's rows.
struct FedState {
  float sums[kFedColumns / 8][4];
  float chunk[kFedChunk / 8][4];
};

// chunk = or += x up^T, of a part's inputs and the warpgroup's rows, from `row` on.
__device__ inline void multiply_up(const FedMemory& memory, unsigned row, unsigned part,
                                   std::uint32_t weights, FedState& state) {
  const std::uint32_t x = shared_address(memory.tile);
  SHEAF_UNROLL
  for (unsigned k = 0; k < 128 / 16; ++k)
    multiply_by_rows<kFedChunk>(state.chunk, FedMemory::Tile::by_rows(x, row, part * 8 + k),
                                FedMemory::Up::by_rows(weights, 0, k), part > 0 || k > 0);
}
// sums += chunk down^T, of a part's outputs.
__device__ inline void multiply_down(const FedMemory& memory, unsigned row, unsigned part,
                                     std::uint32_t weights, FedState& state) {
  const std::uint32_t chunk = shared_address(memory.chunk());
  SHEAF_UNROLL
  for (unsigned k = 0; k < kFedChunk / 16; ++k)
    multiply_by_rows<128>(&state.sums[part * 16], FedMemory::Chunk::by_rows(chunk, row, k),
                          FedMemory::Down::by_rows(weights, 0, k), true);
}

// Where a lane has two neighbouring columns, of eight from 8 n on, of a warp's rows from `row` on.
template <class Tile>
__device__ Bfloat16* fed_pair(std::byte* tile, unsigned row, unsigned n) {
  return reinterpret_cast<Bfloat16*>(
      tile + Tile::place(row + lane_of_thread() / 4, n * 8 + 2 * (lane_of_thread() % 4)));
}
// Registers to a warp's rows.
template <class Tile, unsigned kEights>
__device__ void keep_fed(const float (&values)[kEights][4], std::byte* tile, unsigned row) {
  SHEAF_UNROLL
  for (unsigned n = 0; n < kEights; ++n) {
    SHEAF_UNROLL
    for (unsigned half = 0; half < 2; ++half) {
      *reinterpret_cast<std::uint32_t*>(fed_pair<Tile>(tile, row + half * 8, n)) =
          pack_pair<Bfloat16>(values[n][2 * half], values[n][2 * half + 1]);
    }
  }
}

// sums = x + bias
__device__ inline void begin_sums(const Bfloat16* biases, std::byte* tile, unsigned row,
                                  FedState& state) {
  SHEAF_UNROLL
  for (unsigned n = 0; n < kFedColumns / 8; ++n) {
    float bias[2] = {};
    if (biases != nullptr) load<2>(biases + n * 8 + 2 * (lane_of_thread() % 4), bias);
    SHEAF_UNROLL
    for (unsigned half = 0; half < 2; ++half) {
      float x[2];
      load<2>(fed_pair<FedMemory::Tile>(tile, row + half * 8, n), x);
      SHEAF_UNROLL
      for (unsigned i = 0; i < 2; ++i) state.sums[n][2 * half + i] = x[i] + bias[i];
    }
  }
}

template <Activation kActivation>
__device__ void activate_chunk(const Bfloat16* biases, FedState& state) {
  SHEAF_UNROLL
  for (unsigned n = 0; n < kFedChunk / 8; ++n) {
    float bias[2];
    load<2>(biases + n * 8 + 2 * (lane_of_thread() % 4), bias);
    SHEAF_UNROLL
    for (unsigned i = 0; i < 4; ++i)
      state.chunk[n][i] = activate(kActivation, state.chunk[n][i] + bias[i % 2]);
  }
}

// A warp's rows of the tile, from `row` on, normalized, to the first `count` of `out`.
__device__ inline void normalize_fed(const NormParameters& norm, const std::byte* tile,
                                     unsigned row, unsigned count, const Rows<Bfloat16>& out) {
  constexpr unsigned kLanes = 8;  // of a row
  for (unsigned r = lane_of_thread() / kLanes; r < 16; r += kWarpSize / kLanes) {
    const auto read = [&](unsigned i, float(&x)[kWide]) {
      load<kWide>(reinterpret_cast<const Bfloat16*>(tile + FedMemory::Tile::place(row + r, i)), x);
    };
    const Moments moments = moments_of<kWide, kLanes>(norm, read);
    if (r >= count) continue;
    for (unsigned i = lane_of_thread() % kLanes * kWide; i < kFedColumns; i += kLanes * kWide) {
      float x[kWide];
      read(i, x);
      normalize<kWide>(norm, moments, i, x);
      store<kWide>(x, out.row(r) + i);
    }
  }
}

// out = norm(down(activation(up x)) + x). Blocks: of rows.
template <Activation kActivation>
__global__ void __launch_bounds__(kWarpgroups* kWarpgroup) feed_forward(FeedForwardTask task) {
  if constexpr (kHasWarpgroups) {
    const FedMemory memory = {shared_memory<std::byte>()};
    // From one lane, so that the compiler knows what all agree on; and where it is used, so that
    // neither it nor an address made of it takes a register in between.
    const auto block_row = [] { return __shfl_sync(kAllLanes, blockIdx.x, 0) * kFedRows; };
    const auto warp_row = [] { return __shfl_sync(kAllLanes, threadIdx.x / kWarpSize, 0) * 16; };
    const unsigned group_row = warp_row() / 64 * 64;
    const unsigned chunks = task.middle / kFedChunk;
    copy_fed_rows(task, block_row(), memory);
    SHEAF_UNROLL
    for (unsigned step = 0; step < kFedComing; ++step) copy_fed_part(task, 0, step, memory);
    FedState state;
    await_copies<kFedComing - 1>();
    __syncthreads();
    begin_sums(task.down_bias, memory.tile, warp_row(), state);
    for (unsigned round = 0;; ++round) {
      SHEAF_UNROLL
      for (unsigned step = 0; step < kFedSteps; ++step) {
        await_copies<kFedComing - 1>();
        show_to_products();
        __syncthreads();  // the step's part is there, and none is multiplied that is copied over
        copy_fed_part(task, round, step + kFedComing, memory);
        const std::uint32_t weights = shared_address(memory.part(round * kFedSteps + step));
        begin_products();
        if (step < kFedParts)
          multiply_up(memory, group_row, step, weights, state);
        else
          multiply_down(memory, group_row, step - kFedParts, weights, state);
        commit_products();
        if (step >= kFedParts) await_products<kFedPending>();
      }
      activate_chunk<kActivation>(memory.bias(round), state);
      compute_now<kFedChunk>(state.chunk);
      if (round == chunks)
        break;  // here, so that no instruction of the above comes behind the wait
      await_products<0>();
      keep_fed<FedMemory::Chunk>(state.chunk, memory.chunk(), warp_row());
    }
    await_products<0>();
    await_copies<0>();
    const unsigned row = warp_row(), first_row = block_row();
    keep_fed<FedMemory::Tile>(state.sums, memory.tile, row);
    __syncwarp();
    if (first_row + row < task.rows)
      normalize_fed(task.norm, memory.tile, row, smaller(task.rows - first_row - row, 16U),
                    Rows<Bfloat16>{task.out.row(first_row + row), task.out.stride});
  } else {
    __trap();  // no other card is given it
  }
}

}  // namespace sheaf::kernels::cuda
