#pragma once

#include "kernels/cuda/mma_softmax.cuh"
#include "kernels/cuda/warpgroup_mma.cuh"

// Attention by the matrix unit of Hopper for heads of 32, 64, 128 and 256 and states in bfloat16
// that lie at multiples of 16 bytes, without biases. A warpgroup has 64 queries, whose scores and
// sums of values stay in registers; the two of a block share keys and values, of which two tiles
// each are in shared memory. While softmax of a tile's scores is computed the matrix unit adds up
// the values of the tile before, and the next tiles come (after Shah et al., "FlashAttention-3",
// 2024, 3.2; its producer warps are not needed where copies are made by cp.async).
namespace sheaf::kernels::cuda {

template <unsigned kHeadSize>
struct WarpgroupShape {
  static constexpr unsigned kHead = kHeadSize;
  static constexpr unsigned kRowBlocks = 1;
  static constexpr unsigned kQueries = 64;  // of a warpgroup
  // Of a head of 128 a block has a multiprocessor to itself, for its registers, and room for more.
  static constexpr unsigned kKeys = kHead == 128 ? 128 : 64;
  static constexpr unsigned kBlocks = kHead <= 64 ? 2 : 1;  // of a multiprocessor, at least
  // A product has so many values of a head.
  static constexpr unsigned kValues = kHead < 128 ? kHead : 128;

  static constexpr unsigned kBlockQueries = kWarpgroups * kQueries;
  using Queries = SwizzledTile<kBlockQueries, kHead>;
  using Keys = SwizzledTile<kKeys, kHead>;  // and values
  static constexpr std::size_t kSharedBytes = Queries::kBytes + std::size_t{4} * Keys::kBytes;
};

// A block's keys and values, tile by tile.
template <unsigned kHead>
struct KeyTiles {
  using Shape = WarpgroupShape<kHead>;
  const Bfloat16* keys;
  const Bfloat16* values;
  std::size_t stride;
  std::uint32_t tokens;  // of the text
  std::uint32_t first;   // key
  std::uint32_t count;   // tiles
  std::byte* shared;     // of keys two, of values two

  __device__ std::byte* keys_of(std::uint32_t tile) const {
    return shared + tile % 2 * Shape::Keys::kBytes;
  }
  __device__ std::byte* values_of(std::uint32_t tile) const {
    return shared + (2 + tile % 2) * Shape::Keys::kBytes;
  }
  __device__ void copy_keys(std::uint32_t tile) const {
    copy_tile<typename Shape::Keys>(keys, stride, first + tile * Shape::kKeys, tokens,
                                    keys_of(tile));
  }
  // All threads: afterwards the tile's keys are there, and values of the one before, and those
  // behind them are on their way. Nobody may compute with the keys of the tile before any more, nor
  // with values of that before it.
  __device__ void step_to(std::uint32_t tile) const {
    await_copies<0>();
    show_to_products();
    __syncthreads();
    if (tile + 1 < count) copy_keys(tile + 1);
    if (tile < count)
      copy_tile<typename Shape::Keys>(values, stride, first + tile * Shape::kKeys, tokens,
                                      values_of(tile));
    commit_copies();
  }
};

// Begins scores = q k^T, of a warpgroup's rows of q from `row` on.
template <unsigned kHead>
__device__ void begin_scores(std::uint32_t q, unsigned row, std::uint32_t k,
                             MmaState<WarpgroupShape<kHead>>& state) {
  using Shape = WarpgroupShape<kHead>;
  SHEAF_UNROLL
  for (unsigned d = 0; d < kHead / 16; ++d)
    multiply_by_rows<Shape::kKeys>(state.scores[0], Shape::Queries::by_rows(q, row, d),
                                   Shape::Keys::by_rows(k, 0, d), d > 0);
  commit_products();
}

// Begins sums += weights v.
template <unsigned kHead>
__device__ void begin_values(
    const std::uint32_t (&weights)[WarpgroupShape<kHead>::kKeys / kMmaRows][4], std::uint32_t v,
    MmaState<WarpgroupShape<kHead>>& state) {
  using Shape = WarpgroupShape<kHead>;
  SHEAF_UNROLL
  for (unsigned block = 0; block < Shape::kKeys / kMmaRows; ++block) {
    SHEAF_UNROLL
    for (unsigned n = 0; n < kHead; n += Shape::kValues)
      multiply_add_registers<Shape::kValues>(&state.sums[0][n / 8], weights[block],
                                             Shape::Keys::by_columns(v, block, n));
  }
  commit_products();
}

// Scores of the tile that begins with `key` become weights, 0 of keys that are not seen; sums are
// still to be scaled.
template <class Shape>
__device__ KeptShares<Shape> weigh_tile(const AttentionTask<Bfloat16>& task, std::uint32_t tokens,
                                        std::uint32_t query, const SeenKeys& seen,
                                        std::uint32_t key, MmaState<Shape>& state) {
  const float factor = task.scale * kLog2E;
  KeptShares<Shape> kept;
  if (is_whole<Shape::kKeys>(seen, key)) {
    kept = raise_largest(factor, WholeTile(), state);
    scale_weights(kept, state);
    weigh_keys(factor, WholeTile(), state);
    return kept;
  }
  const PartOfTile part = part_of_tile<Shape::kKeys>(seen, key);
  mask_scores(task, tokens, query, key, part, state);
  kept = raise_largest(factor, part, state);
  scale_weights(kept, state);
  weigh_keys(factor, part, state);
  SHEAF_UNROLL
  for (unsigned n = 0; n < Shape::kKeys / 8; ++n) {
    if (part.has(n / 2)) continue;
    SHEAF_UNROLL
    for (unsigned i = 0; i < 4; ++i) state.scores[0][n][i] = 0;
  }
  return kept;
}

template <class Shape>
__device__ void pack_tile(const MmaState<Shape>& state,
                          std::uint32_t (&weights)[Shape::kKeys / kMmaRows][4]) {
  SHEAF_UNROLL
  for (unsigned block = 0; block < Shape::kKeys / kMmaRows; ++block)
    pack_weights<Bfloat16>(state, 0, block, weights[block]);
}

// A warp's sums, by their weights, to `out`, by way of the rows of the queries' tile that were its
// own, from `row` on.
template <unsigned kHead>
__device__ void write_sums(const Rows<Bfloat16>& out, unsigned count, std::byte* tile, unsigned row,
                           MmaState<WarpgroupShape<kHead>>& state) {
  using Tile = typename WarpgroupShape<kHead>::Queries;
  put_sums(state, kMmaRows, [&](unsigned r, unsigned column, const float(&pair)[2]) {
    store<2>(pair, reinterpret_cast<Bfloat16*>(tile + Tile::place(row + r, column)));
  });
  __syncwarp();
  copy_rows_out<Tile>(tile, row, count, out);
}

// Blocks: query tiles of up to kBlockQueries, heads. Threads: of two warpgroups.
template <unsigned kHead>
__global__ void __launch_bounds__(kWarpgroups* kWarpgroup, WarpgroupShape<kHead>::kBlocks)
    attend_by_warpgroups(AttentionTask<Bfloat16> task) {
  if constexpr (kHasWarpgroups) {
    using Shape = WarpgroupShape<kHead>;
    const QueryTile tile = task.tiles[blockIdx.x];
    if (tile.tokens == 0) return;
    const unsigned head = blockIdx.y;
    std::byte* const shared = shared_memory<std::byte>();
    const Bfloat16* text = task.qkv.row(tile.first_row);
    const unsigned key_column = (task.heads + task.kv_head(head)) * kHead;
    const std::uint32_t first_key = task.first_key(tile.first_query);
    const auto tiles_to = [&](std::uint32_t last_query) {
      const std::uint32_t last_key = task.last_key(smaller(last_query, tile.tokens), tile.tokens);
      return (last_key - first_key + Shape::kKeys - 1) / Shape::kKeys;
    };
    const KeyTiles<kHead> tiles = {text + key_column,
                                   text + key_column + task.kv_heads * kHead,
                                   task.qkv.stride,
                                   tile.tokens,
                                   first_key,
                                   tiles_to(tile.first_query + Shape::kBlockQueries),
                                   shared + Shape::Queries::kBytes};
    copy_tile<typename Shape::Queries>(text + head * kHead, task.qkv.stride, tile.first_query,
                                       tile.tokens, shared);
    tiles.copy_keys(0);
    commit_copies();

    // From one lane, so that the compiler knows what all agree on.
    const unsigned warp = __shfl_sync(kAllLanes, threadIdx.x / kWarpSize, 0);
    const unsigned row = warp / 4 * Shape::kQueries;  // the warpgroup's first, in the block
    const unsigned warp_row = warp * kMmaRows;
    const std::uint32_t query = tile.first_query + warp_row;
    const std::uint32_t last_query = smaller(query + kMmaRows, tile.tokens);
    const SeenKeys seen = seen_keys(task, query, last_query, tile.tokens);
    const std::uint32_t mine = tile.first_query + row < tile.tokens
                                   ? tiles_to(tile.first_query + row + Shape::kQueries)
                                   : 0;
    const std::uint32_t q = shared_address(shared);

    tiles.step_to(0);
    if (mine > 0) {
      MmaState<Shape> state;
      std::uint32_t weights[Shape::kKeys / kMmaRows][4];
      clear(state);
      begin_products();
      begin_scores<kHead>(q, row, shared_address(tiles.keys_of(0)), state);
      await_products<0>();
      weigh_tile(task, tile.tokens, query, seen, first_key, state);
      pack_tile(state, weights);
      for (std::uint32_t i = 1; i < mine; ++i) {
        tiles.step_to(i);
        begin_products();
        begin_scores<kHead>(q, row, shared_address(tiles.keys_of(i)), state);
        begin_values<kHead>(weights, shared_address(tiles.values_of(i - 1)), state);
        await_products<1>();  // values may be added up later
        const KeptShares<Shape> kept =
            weigh_tile(task, tile.tokens, query, seen, first_key + i * Shape::kKeys, state);
        await_products<0>();
        scale_sums(kept, state);
        pack_tile(state, weights);
      }
      tiles.step_to(mine);
      begin_products();
      begin_values<kHead>(weights, shared_address(tiles.values_of(mine - 1)), state);
      await_products<0>();
      if (query < last_query)
        write_sums<kHead>(
            Rows<Bfloat16>{task.out.row(tile.first_row + query) + head * kHead, task.out.stride},
            last_query - query, shared, warp_row, state);
    }
    for (std::uint32_t i = mine + 1; i <= tiles.count; ++i) tiles.step_to(i);
  } else {
    __trap();  // no other card is given it
  }
}

}  // namespace sheaf::kernels::cuda
