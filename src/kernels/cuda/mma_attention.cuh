#pragma once

#include "kernels/cuda/async_copy.cuh"
#include "kernels/cuda/attention_task.cuh"
#include "kernels/cuda/mma.cuh"

// Attention by matrix units for heads of 32, 64, 128 and 256: q, k, v, which are states in E, and
// the weights of softmax are rounded to T, all sums are float32. A warp has 16 or 32 queries, whose
// scores and sums of values stay in its registers; a block's warps share a tile of keys and one of
// values in shared memory (after Dao, "FlashAttention-2", 2023). While scores are computed the
// tile's values come, and while values are added up the next tile's keys. Of tiles that a warp
// sees in part it computes blocks of 16 keys, and a short text's block has fewer warps.
namespace sheaf::kernels::cuda {

constexpr unsigned kMmaRows = 16;  // of a product: queries, and keys that are skipped or not
constexpr unsigned kMmaWarps = 4;  // of a block, at most

template <unsigned kHead>
struct MmaShape {
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

constexpr float kLog2E = 1.44269504f;

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

// Which of the keys [0, tokens) of a text the queries [first, last) see: some or all of them.
struct SeenKeys {
  std::uint32_t some_first = 0, some_last = 0;
  std::uint32_t all_first = 0, all_last = 0;
};
template <class E>
__device__ SeenKeys seen_keys(const AttentionTask<E>& task, std::uint32_t first, std::uint32_t last,
                              std::uint32_t tokens) {
  if (first >= last) return {};
  return {task.first_key(first), task.last_key(last, tokens), task.first_key(last - 1),
          task.last_key(first + 1, tokens)};
}

// Of a tile, the blocks of 16 keys that a warp computes with; the others' scores are never read.
// All lanes agree.
struct WholeTile {
  __device__ bool has(unsigned /*block*/) const { return true; }
};
struct PartOfTile {
  unsigned first, last;
  __device__ bool has(unsigned block) const { return first <= block && block < last; }
};
template <unsigned kKeys>
__device__ bool is_whole(const SeenKeys& seen, std::uint32_t key) {
  return seen.all_first <= key && key + kKeys <= seen.all_last;
}
template <unsigned kKeys>
__device__ PartOfTile part_of_tile(const SeenKeys& seen, std::uint32_t key) {
  const std::uint32_t first = larger(seen.some_first, key) - key;
  const std::uint32_t last = larger(seen.some_last, key) - key;
  return {first / kMmaRows, (smaller(last, kKeys) + kMmaRows - 1) / kMmaRows};
}

// Of a warp's queries and a tile of keys: what a lane holds. Of each block of rows index 0 is row
// `group`, 1 is row `group + 8`; see mma.cuh.
template <unsigned kHead>
struct MmaState {
  using Shape = MmaShape<kHead>;
  float scores[Shape::kRowBlocks][Shape::kKeys / 8][4];
  float sums[Shape::kRowBlocks][kHead / 8][4];
  float largest[Shape::kRowBlocks][2];
  float weights[Shape::kRowBlocks][2];  // of the lane's own keys
};

template <unsigned kHead>
__device__ void clear(MmaState<kHead>& state) {
  SHEAF_UNROLL
  for (unsigned r = 0; r < MmaShape<kHead>::kRowBlocks; ++r) {
    SHEAF_UNROLL
    for (unsigned half = 0; half < 2; ++half) {
      state.largest[r][half] = -INFINITY;
      state.weights[r][half] = 0;
    }
    SHEAF_UNROLL
    for (unsigned n = 0; n < kHead / 8; ++n) {
      SHEAF_UNROLL
      for (unsigned i = 0; i < 4; ++i) state.sums[r][n][i] = 0;
    }
  }
}

__device__ inline float sum_of_quad(float x) {
  x += __shfl_xor_sync(kAllLanes, x, 1);
  return x + __shfl_xor_sync(kAllLanes, x, 2);
}
__device__ inline float largest_of_quad(float x) {
  x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, 1));
  return fmaxf(x, __shfl_xor_sync(kAllLanes, x, 2));
}

// A warp's queries [kQueries, kStride] as operands: in registers from the beginning on, or read for
// every tile.
template <unsigned kHead, class T>
struct MmaQueries {
  using Shape = MmaShape<kHead>;
  static constexpr unsigned kKept = Shape::kKeepsQueries ? kHead / kMmaRows : 1;
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

// scores = q k^T; k [kKeys, kStride].
template <unsigned kHead, class T, class Blocks>
__device__ void score_keys(MmaQueries<kHead, T>& q, const T* k, const Blocks& blocks,
                           MmaState<kHead>& state) {
  using Shape = MmaShape<kHead>;
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
  for (unsigned d = 0; d < kHead / kMmaRows; ++d) {
    if constexpr (!Shape::kKeepsQueries) q.read(d);
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

// -inf for keys that are not seen. `query` is the warp's first, `key` the tile's. What rows behind
// the text get is never read.
template <unsigned kHead, class E>
__device__ void mask_scores(const AttentionTask<E>& task, std::uint32_t tokens, std::uint32_t query,
                            std::uint32_t key, const PartOfTile& blocks, MmaState<kHead>& state) {
  using Shape = MmaShape<kHead>;
  const std::uint32_t before = smaller(task.before, tokens);
  const std::uint32_t after = smaller(task.after, tokens);
  const std::uint32_t first_row = query + lane_of_thread() / 4;
  const std::uint32_t first_column = key + lane_of_thread() % 4 * 2;
  SHEAF_UNROLL
  for (unsigned n = 0; n < Shape::kKeys / 8; ++n) {
    if (!blocks.has(n / 2)) continue;
    SHEAF_UNROLL
    for (unsigned r = 0; r < Shape::kRowBlocks; ++r) {
      SHEAF_UNROLL
      for (unsigned i = 0; i < 4; ++i) {
        const std::uint32_t row = first_row + r * kMmaRows + i / 2 * 8;
        const std::uint32_t column = first_column + n * 8 + i % 2;
        // As task.sees() says of a row of the text, with one comparison less.
        if (column >= tokens || column + before - row > before + after)
          state.scores[r][n][i] = -INFINITY;
      }
    }
  }
}

// Scores become scaled ones with their biases, for powers of two.
template <unsigned kHead>
__device__ void add_biases(const float* bias, float scale, std::uint32_t tokens,
                           std::uint32_t query, std::uint32_t key, const PartOfTile& blocks,
                           MmaState<kHead>& state) {
  using Shape = MmaShape<kHead>;
  const std::uint32_t first_row = query + lane_of_thread() / 4;
  const std::uint32_t first_column = key + lane_of_thread() % 4 * 2;
  SHEAF_UNROLL
  for (unsigned n = 0; n < Shape::kKeys / 8; ++n) {
    if (!blocks.has(n / 2)) continue;
    SHEAF_UNROLL
    for (unsigned r = 0; r < Shape::kRowBlocks; ++r) {
      SHEAF_UNROLL
      for (unsigned i = 0; i < 4; ++i) {
        const std::uint32_t row = first_row + r * kMmaRows + i / 2 * 8;
        const std::uint32_t column = first_column + n * 8 + i % 2;
        float& score = state.scores[r][n][i];
        if (row < tokens && column < tokens)
          score = kLog2E * (score * scale + bias[std::int64_t{column} - std::int64_t{row}]);
      }
    }
  }
}

// Scores, times `factor` those of powers of two, become weights of the running softmax, and what
// was summed up before is scaled to them. Needs a factor above 0.
template <unsigned kHead, class Blocks>
__device__ void weigh_keys(float factor, const Blocks& blocks, bool begun, MmaState<kHead>& state) {
  using Shape = MmaShape<kHead>;
  constexpr unsigned kRows = 2 * Shape::kRowBlocks;  // of a lane
  float largest[kRows], base[kRows], kept[kRows];
  SHEAF_UNROLL
  for (unsigned i = 0; i < kRows; ++i) largest[i] = state.largest[i / 2][i % 2];
  SHEAF_UNROLL
  for (unsigned n = 0; n < Shape::kKeys / 8; ++n) {
    if (!blocks.has(n / 2)) continue;
    SHEAF_UNROLL
    for (unsigned i = 0; i < kRows; ++i) {
      const float(&scores)[4] = state.scores[i / 2][n];
      largest[i] = fmaxf(largest[i], fmaxf(scores[i % 2 * 2], scores[i % 2 * 2 + 1]));
    }
  }
  SHEAF_UNROLL
  for (unsigned i = 0; i < kRows; ++i) {
    largest[i] = largest_of_quad(largest[i]);
    // No key is seen yet: all weights are 0.
    base[i] = largest[i] == -INFINITY ? 0 : largest[i] * factor;
    kept[i] = fast_exp2(state.largest[i / 2][i % 2] * factor - base[i]);
    state.largest[i / 2][i % 2] = largest[i];
  }
  if (begun) {
    SHEAF_UNROLL
    for (unsigned i = 0; i < kRows; ++i) {
      state.weights[i / 2][i % 2] *= kept[i];
      SHEAF_UNROLL
      for (unsigned n = 0; n < kHead / 8; ++n) {
        state.sums[i / 2][n][i % 2 * 2] *= kept[i];
        state.sums[i / 2][n][i % 2 * 2 + 1] *= kept[i];
      }
    }
  }
  SHEAF_UNROLL
  for (unsigned n = 0; n < Shape::kKeys / 8; ++n) {
    if (!blocks.has(n / 2)) continue;
    SHEAF_UNROLL
    for (unsigned i = 0; i < 2 * kRows; ++i) {
      float& score = state.scores[i / 4][n][i % 4];
      score = fast_exp2(score * factor - base[i / 2]);
      state.weights[i / 4][i / 2 % 2] += score;
    }
  }
}

// sums += weights v; v [kKeys, kStride]. Sums of one product lie as operands of the next are
// wanted.
template <unsigned kHead, class T, class Blocks>
__device__ void add_values(const T* v, const Blocks& blocks, MmaState<kHead>& state) {
  using Shape = MmaShape<kHead>;
  const T* const rows = v + place_downwards<Shape::kStride>();
  SHEAF_UNROLL
  for (unsigned block = 0; block < Shape::kKeys / kMmaRows; ++block) {
    if (!blocks.has(block)) continue;
    std::uint32_t a[Shape::kRowBlocks][4];
    SHEAF_UNROLL
    for (unsigned r = 0; r < Shape::kRowBlocks; ++r) {
      const float(&left)[4] = state.scores[r][2 * block];
      const float(&right)[4] = state.scores[r][2 * block + 1];
      a[r][0] = pack_pair<T>(left[0], left[1]);
      a[r][1] = pack_pair<T>(left[2], left[3]);
      a[r][2] = pack_pair<T>(right[0], right[1]);
      a[r][3] = pack_pair<T>(right[2], right[3]);
    }
    SHEAF_UNROLL
    for (unsigned n = 0; n < kHead / 8; n += 2) {
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
__device__ void store_pair(float first, float second, bool aligned, E* to) {
  const float pair[2] = {first, second};
  if (aligned) return store<2>(pair, to);
  to[0] = from_float<E>(first);
  to[1] = from_float<E>(second);
}

// A warp's sums, by their weights, to rows [kQueries, kHead] of which the first `count` are.
template <unsigned kHead, class E>
__device__ void store_sums(MmaState<kHead>& state, unsigned count, bool aligned,
                           const Rows<E>& to) {
  const unsigned group = lane_of_thread() / 4;
  const unsigned place = lane_of_thread() % 4;
  SHEAF_UNROLL
  for (unsigned r = 0; r < MmaShape<kHead>::kRowBlocks; ++r) {
    SHEAF_UNROLL
    for (unsigned half = 0; half < 2; ++half) {
      const float inverse = 1 / sum_of_quad(state.weights[r][half]);
      const unsigned row = r * kMmaRows + half * 8 + group;
      if (row >= count) continue;
      E* const out = to.row(row) + 2 * place;
      SHEAF_UNROLL
      for (unsigned n = 0; n < kHead / 8; ++n)
        store_pair(state.sums[r][n][2 * half] * inverse, state.sums[r][n][2 * half + 1] * inverse,
                   aligned, out + n * 8);
    }
  }
}

// The same by way of shared memory [kQueries, kStride], so that a lane writes 16 bytes at once; or
// as they lie where rows of `out` are not like that.
template <unsigned kHead, class T, class E>
__device__ void write_rows(const Rows<E>& out, unsigned count, T* shared, MmaState<kHead>& state) {
  using Shape = MmaShape<kHead>;
  if constexpr (std::is_same_v<T, E>) {
    if (lies_at<16>(out)) {
      store_sums(state, Shape::kQueries, true, Rows<E>{shared, Shape::kStride});
      __syncwarp();
      constexpr unsigned kPerRow = kHead / 8;
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
  const E* text = task.qkv.row(tile.first_row);
  const unsigned key_column = (task.heads + task.kv_head(head)) * kHead;
  const HeadRows<E> queries = {text + head * kHead, task.qkv.stride, tile.tokens};
  const HeadRows<E> keys = {text + key_column, task.qkv.stride, tile.tokens};
  const HeadRows<E> values = {keys.data + task.kv_heads * kHead, task.qkv.stride, tile.tokens};
  const std::uint32_t last_key =
      task.last_key(smaller(block_query + block_queries, tile.tokens), tile.tokens);
  const auto load_keys = [&](const HeadRows<E>& from, std::uint32_t key, T* to) {
    const std::uint32_t count = smaller(last_key - key, Shape::kKeys);
    load_tile<kHead>(from, key, (count + kMmaRows - 1) / kMmaRows * kMmaRows, task.aligned, to);
    commit_copies();
  };

  // From one lane, so that the compiler knows what all agree on.
  const unsigned warp = __shfl_sync(kAllLanes, threadIdx.x / kWarpSize, 0);
  const std::uint32_t query = block_query + warp * Shape::kQueries;  // the warp's first
  const std::uint32_t last_query = smaller(query + Shape::kQueries, tile.tokens);
  const SeenKeys seen = seen_keys(task, query, last_query, tile.tokens);
  const float* bias = task.bias_of(head);
  const float factor = bias == nullptr ? task.scale * kLog2E : 1;

  std::uint32_t key = task.first_key(block_query);
  load_tile<kHead>(queries, block_query, block_queries, task.aligned, q);
  load_keys(keys, key, k);
  load_keys(values, key, v);
  MmaState<kHead> state;
  clear(state);
  await_copies<1>();  // values may come later
  __syncthreads();
  MmaQueries<kHead, T> operands(warp_q);
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
    if (next < last_key) load_keys(keys, next, k);
    if (whole) {
      weigh_keys(factor, WholeTile(), begun, state);
      add_values(v, WholeTile(), state);
    } else {
      const PartOfTile part = part_of_tile<Shape::kKeys>(seen, key);
      mask_scores(task, tile.tokens, query, key, part, state);
      if (bias != nullptr) add_biases(bias, task.scale, tile.tokens, query, key, part, state);
      weigh_keys(factor, part, begun, state);
      add_values(v, part, state);
    }
    if (next >= last_key) break;
    key = next;
    await_copies<0>();
    __syncthreads();  // keys are there, and nobody reads the values any more
    load_keys(values, key, v);
  }
  if (query < last_query)
    write_rows<kHead>(Rows<E>{task.out.row(tile.first_row + query) + head * kHead, task.out.stride},
                      last_query - query, warp_q, state);
}

}  // namespace sheaf::kernels::cuda
