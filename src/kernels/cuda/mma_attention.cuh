#pragma once

#include "kernels/cuda/async_copy.cuh"
#include "kernels/cuda/mma_softmax.cuh"

// Attention by matrix units for heads of 32, 64, 128 and 256: q, k, v, which are states in E, and
// the weights of softmax are rounded to T, all sums are float32. A warp has 16 or 32 queries, whose
// scores and sums of values stay in its registers; a block's warps share a tile of keys and one of
// values in shared memory (after Dao, "FlashAttention-2", 2023). While scores are computed the
// tile's values come, and while values are added up the next tile's keys. Of tiles that a warp
// sees in part it computes blocks of 16 keys, and a short text's block has fewer warps.
namespace sheaf::kernels::cuda {

constexpr unsigned kMmaWarps = 4;  // of a block, at most

template <unsigned kHeadSize>
struct MmaShape {
  static constexpr unsigned kHead = kHeadSize;
  // What a warp loads of keys and values serves two products where registers have room for them.
  static constexpr unsigned kRowBlocks = kHead <= 128 ? 2 : 1;
  static constexpr unsigned kQueries = kRowBlocks * kMmaRows;  // of a warp
  // Larger heads keep more sums in registers, and leave fewer for scores and queries.
  static constexpr unsigned kKeys = kHead <= 64 ? 64 : kHead <= 128 ? 48 : 32;
  static constexpr bool kKeepsQueries = kHead <= 64;
  // Rows of shared memory, in elements: 16 bytes more than they hold, an odd number of 16 bytes, so
  // that the eight rows that ldmatrix reads at once lie in all banks. Places are then sums of a
  // lane's own and of constants; with a swizzle they would take registers and arithmetic.
  static constexpr unsigned kStride = kHead + 8;

  static constexpr unsigned warps(unsigned queries) {
    return queries < kMmaWarps * kQueries ? queries / kQueries : kMmaWarps;
  }
  // k [kKeys, kHead], v [kKeys, kHead], q [warps * kQueries, kHead]
  static constexpr std::size_t shared_bytes(unsigned warps) {
    return sizeof(std::uint16_t) * kStride * (2 * kKeys + warps * kQueries);
  }
};

// Eight neighbouring elements in T, as pairs of them.
struct alignas(16) Eight {
  std::uint32_t pairs[4];
};
template <class T, class E>
__device__ Eight pack_eight(const E* from, bool aligned) {
  float x[8];
  if (aligned)
    load<8>(from, x);
  else
    for (unsigned i = 0; i < 8; ++i) x[i] = to_float(from[i]);
  return {pack_pair<T>(x[0], x[1]), pack_pair<T>(x[2], x[3]), pack_pair<T>(x[4], x[5]),
          pack_pair<T>(x[6], x[7])};
}

// A head's part of a text's rows.
template <class E>
struct HeadRows {
  const E* data;
  std::size_t stride;
  std::uint32_t rows;
};
template <class E>
struct HeadOfText {
  HeadRows<E> queries, keys, values;
};
template <unsigned kHead, class E>
__device__ HeadOfText<E> head_of_text(const AttentionTask<E>& task, const QueryTile& tile,
                                      unsigned head) {
  const E* const text = task.qkv.row(tile.first_row);
  const E* const keys = text + (task.heads + task.kv_head(head)) * kHead;
  const auto rows_at = [&](const E* at) { return HeadRows<E>{at, task.qkv.stride, tile.tokens}; };
  return {rows_at(text + head * kHead), rows_at(keys), rows_at(keys + task.kv_heads * kHead)};
}

// Rows [first, first + count) into shared memory [count, kStride], 0 from the text's last on. If
// they are aligned and in T they are there behind the next wait for copies, else at once.
template <unsigned kHead, class T, class E>
__device__ void load_tile(const HeadRows<E>& from, std::uint32_t first, unsigned count,
                          bool aligned, T* to) {
  constexpr unsigned kPerRow = kHead / 8;  // threads
  const unsigned step = blockDim.x / kPerRow;
  unsigned row = threadIdx.x / kPerRow;
  const unsigned column = threadIdx.x % kPerRow * 8;
  to += row * MmaShape<kHead>::kStride + column;
  for (; row < count; row += step) {
    const bool there = first + row < from.rows;
    const E* const at = from.data + (std::size_t{first} + row) * from.stride + column;
    if (std::is_same_v<T, E> && aligned)
      copy_later(at, there ? sizeof(Eight) : 0, to);
    else
      *reinterpret_cast<Eight*>(to) = there ? pack_eight<T>(at, aligned) : Eight{};
    to += step * MmaShape<kHead>::kStride;
  }
}

// A tile of keys, or of values, from `first` on: those before `last`, in blocks that are skipped or
// not.
template <class Shape, class T, class E>
__device__ void load_keys(const HeadRows<E>& from, std::uint32_t first, std::uint32_t last,
                          bool aligned, T* to) {
  const std::uint32_t count = smaller(last - first, Shape::kKeys);
  load_tile<Shape::kHead>(from, first, (count + kMmaRows - 1) / kMmaRows * kMmaRows, aligned, to);
  commit_copies();
}

// Where the row that a lane names to load_matrices() lies in a block of [16, 16] elements: matrices
// below each other first, as operand a and transposed b take them, or those side by side, as b
// does, whose two registers have to be neighbours.
template <unsigned kStride>
__device__ unsigned place_downwards() {
  const unsigned lane = lane_of_thread();
  return lane % 16 * kStride + lane / 16 * 8;
}
template <unsigned kStride>
__device__ unsigned place_sideways() {
  const unsigned lane = lane_of_thread();
  return (lane / 16 * 8 + lane % 8) * kStride + lane / 8 % 2 * 8;
}

// A warp's queries [kQueries, kStride] as operands: in registers from the beginning on, or read for
// every tile.
template <class Shape, class T>
struct MmaQueries {
  static constexpr unsigned kKept = Shape::kKeepsQueries ? Shape::kHead / kMmaRows : 1;
  const T* rows;  // at the lane's place
  std::uint32_t kept[Shape::kRowBlocks][kKept][4];

  __device__ explicit MmaQueries(const T* q) : rows(q + place_downwards<Shape::kStride>()) {
    if constexpr (Shape::kKeepsQueries) {
      SHEAF_UNROLL
      for (unsigned d = 0; d < kKept; ++d) read(d);
    }
  }
  // Columns [16 d, 16 d + 16) into kept[..][d % kKept].
  __device__ void read(unsigned d) {
    SHEAF_UNROLL
    for (unsigned r = 0; r < Shape::kRowBlocks; ++r)
      load_matrices<Matrices::as_they_lie>(rows + r * kMmaRows * Shape::kStride + d * kMmaRows,
                                           kept[r][d % kKept]);
  }
};

// scores = q k^T; k [kKeys, kStride]. Queries are MmaQueries, or what stands in their place.
template <class Queries, class T, class Blocks, class Shape>
__device__ void score_keys(Queries& q, const T* k, const Blocks& blocks, MmaState<Shape>& state) {
  SHEAF_UNROLL
  for (unsigned r = 0; r < Shape::kRowBlocks; ++r) {
    SHEAF_UNROLL
    for (unsigned n = 0; n < Shape::kKeys / 8; ++n) {
      SHEAF_UNROLL
      for (unsigned i = 0; i < 4; ++i) state.scores[r][n][i] = 0;
    }
  }
  const T* const rows = k + place_sideways<Shape::kStride>();
  SHEAF_UNROLL
  for (unsigned d = 0; d < Shape::kHead / kMmaRows; ++d) {
    if constexpr (Queries::kKept == 1) q.read(d);
    SHEAF_UNROLL
    for (unsigned block = 0; block < Shape::kKeys / kMmaRows; ++block) {
      if (!blocks.has(block)) continue;
      std::uint32_t b[4];
      load_matrices<Matrices::as_they_lie>(rows + block * kMmaRows * Shape::kStride + d * kMmaRows,
                                           b);
      SHEAF_UNROLL
      for (unsigned r = 0; r < Shape::kRowBlocks; ++r) {
        multiply_add<T>(state.scores[r][2 * block], q.kept[r][d % q.kKept], {b[0], b[1]});
        multiply_add<T>(state.scores[r][2 * block + 1], q.kept[r][d % q.kKept], {b[2], b[3]});
      }
    }
  }
}

// sums += weights v; v [kKeys, kStride].
template <class Shape, class T, class Blocks>
__device__ void add_values(const T* v, const Blocks& blocks, MmaState<Shape>& state) {
  const T* const rows = v + place_downwards<Shape::kStride>();
  SHEAF_UNROLL
  for (unsigned block = 0; block < Shape::kKeys / kMmaRows; ++block) {
    if (!blocks.has(block)) continue;
    std::uint32_t a[Shape::kRowBlocks][4];
    SHEAF_UNROLL
    for (unsigned r = 0; r < Shape::kRowBlocks; ++r) pack_weights<T>(state, r, block, a[r]);
    SHEAF_UNROLL
    for (unsigned n = 0; n < Shape::kHead / 8; n += 2) {
      std::uint32_t b[4];
      load_matrices<Matrices::transposed>(rows + block * kMmaRows * Shape::kStride + n * 8, b);
      SHEAF_UNROLL
      for (unsigned r = 0; r < Shape::kRowBlocks; ++r) {
        multiply_add<T>(state.sums[r][n], a[r], {b[0], b[1]});
        multiply_add<T>(state.sums[r][n + 1], a[r], {b[2], b[3]});
      }
    }
  }
}

template <class E>
__device__ void store_pair(const float (&pair)[2], bool aligned, E* to) {
  if (aligned) return store<2>(pair, to);
  to[0] = from_float<E>(pair[0]);
  to[1] = from_float<E>(pair[1]);
}

// A warp's sums, by their weights, to rows [kQueries, kHead] of which the first `count` are.
template <class Shape, class E>
__device__ void store_sums(MmaState<Shape>& state, unsigned count, bool aligned,
                           const Rows<E>& to) {
  put_sums(state, count, [&](unsigned row, unsigned column, const float(&pair)[2]) {
    store_pair(pair, aligned, to.row(row) + column);
  });
}

// The same by way of shared memory [kQueries, kStride], so that a lane writes 16 bytes at once; or
// as they lie where rows of `out` are not like that.
template <class Shape, class T, class E>
__device__ void write_rows(const Rows<E>& out, unsigned count, T* shared, MmaState<Shape>& state) {
  if constexpr (std::is_same_v<T, E>) {
    if (lies_at<16>(out)) {
      store_sums(state, Shape::kQueries, true, Rows<E>{shared, Shape::kStride});
      __syncwarp();
      constexpr unsigned kPerRow = Shape::kHead / 8;
      for (unsigned i = lane_of_thread(); i < count * kPerRow; i += kWarpSize)
        *reinterpret_cast<Eight*>(out.row(i / kPerRow) + i % kPerRow * 8) =
            *reinterpret_cast<const Eight*>(shared + i / kPerRow * Shape::kStride +
                                            i % kPerRow * 8);
      return;
    }
  }
  store_sums(state, count, lies_at<2 * sizeof(E)>(out), out);
}

// Blocks: query tiles, heads, parts of a tile. Warps: MmaShape::warps() of the tiles' queries.
template <unsigned kHead, class T, class E>
__global__ void __launch_bounds__(kMmaWarps* kWarpSize) attend_by_mma(AttentionTask<E> task) {
  using Shape = MmaShape<kHead>;
  const QueryTile tile = task.tiles[blockIdx.x];
  const unsigned head = blockIdx.y;
  const unsigned block_queries = blockDim.x / kWarpSize * Shape::kQueries;
  const std::uint32_t block_query = tile.first_query + blockIdx.z * block_queries;
  if (block_query >= tile.tokens) return;

  T* const k = shared_memory<T>();
  T* const v = k + Shape::kKeys * Shape::kStride;
  T* const q = v + Shape::kKeys * Shape::kStride;
  T* const warp_q = q + threadIdx.x / kWarpSize * Shape::kQueries * Shape::kStride;
  const HeadOfText<E> text = head_of_text<kHead>(task, tile, head);
  const std::uint32_t last_key =
      task.last_key(smaller(block_query + block_queries, tile.tokens), tile.tokens);

  // From one lane, so that the compiler knows what all agree on.
  const unsigned warp = __shfl_sync(kAllLanes, threadIdx.x / kWarpSize, 0);
  const std::uint32_t query = block_query + warp * Shape::kQueries;  // the warp's first
  const std::uint32_t last_query = smaller(query + Shape::kQueries, tile.tokens);
  const SeenKeys seen = seen_keys(task, query, last_query, tile.tokens);
  const float* bias = task.bias_of(head);
  const float factor = bias == nullptr ? task.scale * kLog2E : 1;

  std::uint32_t key = task.first_key(block_query);
  load_tile<kHead>(text.queries, block_query, block_queries, task.aligned, q);
  load_keys<Shape>(text.keys, key, last_key, task.aligned, k);
  load_keys<Shape>(text.values, key, last_key, task.aligned, v);
  MmaState<Shape> state;
  clear(state);
  await_copies<1>();  // values may come later
  __syncthreads();
  MmaQueries<Shape, T> operands(warp_q);
  while (true) {
    const bool whole = bias == nullptr && is_whole<Shape::kKeys>(seen, key);
    const bool begun = seen.some_first < key;
    if (whole)
      score_keys(operands, k, WholeTile(), state);
    else
      score_keys(operands, k, part_of_tile<Shape::kKeys>(seen, key), state);
    await_copies<0>();
    __syncthreads();  // values are there, and nobody reads the keys any more
    const std::uint32_t next = key + Shape::kKeys;
    if (next < last_key) load_keys<Shape>(text.keys, next, last_key, task.aligned, k);
    if (whole) {
      const KeptShares<Shape> kept = raise_largest(factor, WholeTile(), state);
      if (begun) {
        scale_weights(kept, state);
        scale_sums(kept, state);
      }
      weigh_keys(factor, WholeTile(), state);
      add_values(v, WholeTile(), state);
    } else {
      const PartOfTile part = part_of_tile<Shape::kKeys>(seen, key);
      mask_scores(task, tile.tokens, query, key, part, state);
      if (bias != nullptr) add_biases(bias, task.scale, tile.tokens, query, key, part, state);
      const KeptShares<Shape> kept = raise_largest(factor, part, state);
      if (begun) {
        scale_weights(kept, state);
        scale_sums(kept, state);
      }
      weigh_keys(factor, part, state);
      add_values(v, part, state);
    }
    if (next >= last_key) break;
    key = next;
    await_copies<0>();
    __syncthreads();  // keys are there, and nobody reads the values any more
    load_keys<Shape>(text.values, key, last_key, task.aligned, v);
  }
  if (query < last_query)
    write_rows(Rows<E>{task.out.row(tile.first_row + query) + head * kHead, task.out.stride},
               last_query - query, warp_q, state);
}

}  // namespace sheaf::kernels::cuda
