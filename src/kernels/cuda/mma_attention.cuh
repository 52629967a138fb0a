#pragma once

#include "kernels/cuda/attention_task.cuh"
#include "kernels/cuda/mma.cuh"

// Attention by matrix units for heads of 32, 64, 128 and 256: q, k, v, which are states in E, and
// the weights of softmax are rounded to T, all sums are float32. A warp has 16 queries, whose
// scores and sums of values stay in its registers; a block's four warps share tiles of keys and
// values in shared memory (after Dao, "FlashAttention-2", 2023). Texts of up to a tile's keys are
// done in one pass.
namespace sheaf::kernels::cuda {

constexpr unsigned kMmaWarps = 4;
constexpr unsigned kMmaQueries = 16;  // of a warp
static_assert(kMmaWarps * kMmaQueries == kTileQueries);

template <unsigned kHead>
struct MmaShape {
  // Larger heads keep more sums in registers, and leave fewer for scores.
  static constexpr unsigned kKeys = kHead <= 128 ? 64 : 32;
  // Rows of shared memory, in elements: 16 bytes more than they hold, so that the rows that a warp
  // reads at once lie in different banks.
  static constexpr unsigned kKeyStride = kHead + 8;    // k [kKeys, kHead], q [64, kHead]
  static constexpr unsigned kValueStride = kKeys + 8;  // v transposed [kHead, kKeys]
  static constexpr unsigned kElements = (kTileQueries + kKeys) * kKeyStride + kHead * kValueStride;
  static constexpr std::size_t kSharedBytes = 2 * kElements;
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
// Read at once where they lie at a multiple of 16 bytes, and as they are where they are in T.
template <class T>
__device__ Eight eight_at(const float* from, bool aligned) {
  return pack_eight<T>(from, aligned);
}
template <class T>
__device__ Eight eight_at(const T* from, bool aligned) {
  if (aligned) return *reinterpret_cast<const Eight*>(from);
  return pack_eight<T>(from, false);
}

// A text's rows as they are loaded: those from `rows` on count as 0.
template <class T, class E>
struct HeadRows {
  const E* data;
  std::size_t stride;
  std::uint32_t rows;
  bool aligned;

  __device__ Eight eight(std::uint32_t row, unsigned column) const {
    if (row >= rows) return {};
    return eight_at<T>(data + row * stride + column, aligned);
  }
};

// Rows [first, first + kCount) into shared memory [kCount, kHead + 8].
template <unsigned kHead, unsigned kCount, class T, class E>
__device__ void load_tile(const HeadRows<T, E>& from, std::uint32_t first, T* to) {
  for (unsigned i = threadIdx.x; i < kCount * kHead / 8; i += kMmaWarps * kWarpSize) {
    const unsigned row = i / (kHead / 8);
    const unsigned column = i % (kHead / 8) * 8;
    *reinterpret_cast<Eight*>(to + row * MmaShape<kHead>::kKeyStride + column) =
        from.eight(first + row, column);
  }
}

// The same of values, transposed: [kHead, kKeys + 8]. Neighbouring lanes have neighbouring pairs of
// rows, so that what they write lies in different banks.
template <unsigned kHead, class T, class E>
__device__ void load_transposed(const HeadRows<T, E>& from, std::uint32_t first, T* to) {
  using Shape = MmaShape<kHead>;
  constexpr unsigned kPairs = Shape::kKeys / 2;
  for (unsigned i = threadIdx.x; i < kPairs * kHead / 8; i += kMmaWarps * kWarpSize) {
    const unsigned row = i % kPairs * 2;
    const unsigned column = i / kPairs * 8;
    const Eight even = from.eight(first + row, column);
    const Eight odd = from.eight(first + row + 1, column);
    const auto put = [&](unsigned at, std::uint32_t pair) {
      *reinterpret_cast<std::uint32_t*>(to + (column + at) * Shape::kValueStride + row) = pair;
    };
    SHEAF_UNROLL
    for (unsigned k = 0; k < 4; ++k) {
      put(2 * k, (even.pairs[k] & 0xffff) | odd.pairs[k] << 16);
      put(2 * k + 1, even.pairs[k] >> 16 | (odd.pairs[k] & 0xffff0000));
    }
  }
}

template <class T>
__device__ std::uint32_t pair_at(const T* address) {
  return *reinterpret_cast<const std::uint32_t*>(address);
}

// Of a warp's 16 queries and a tile of keys: what a lane holds. Index 0 is row `group`, 1 is row
// `group + 8`; see mma.cuh.
template <unsigned kHead>
struct MmaState {
  float scores[MmaShape<kHead>::kKeys / 8][4];
  float sums[kHead / 8][4];
  float largest[2];
  float weights[2];
};

__device__ inline float sum_of_quad(float x) {
  x += __shfl_xor_sync(kAllLanes, x, 1);
  return x + __shfl_xor_sync(kAllLanes, x, 2);
}
__device__ inline float largest_of_quad(float x) {
  x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, 1));
  return fmaxf(x, __shfl_xor_sync(kAllLanes, x, 2));
}

// scores = q k^T; q of the warp [16, kHead + 8], k [kKeys, kHead + 8].
template <class T, unsigned kHead>
__device__ void score_keys(const T* q, const T* k, MmaState<kHead>& state) {
  using Shape = MmaShape<kHead>;
  const unsigned group = lane_of_thread() / 4;
  const unsigned place = lane_of_thread() % 4;
  SHEAF_UNROLL
  for (unsigned n = 0; n < Shape::kKeys / 8; ++n) {
    SHEAF_UNROLL
    for (unsigned i = 0; i < 4; ++i) state.scores[n][i] = 0;
  }
  SHEAF_UNROLL
  for (unsigned d = 0; d < kHead; d += 16) {
    const T* row = q + group * Shape::kKeyStride + d + 2 * place;
    const T* below = row + 8 * Shape::kKeyStride;
    const std::uint32_t a[4] = {pair_at(row), pair_at(below), pair_at(row + 8), pair_at(below + 8)};
    SHEAF_UNROLL
    for (unsigned n = 0; n < Shape::kKeys / 8; ++n) {
      const T* key = k + (n * 8 + group) * Shape::kKeyStride + d + 2 * place;
      const std::uint32_t b[2] = {pair_at(key), pair_at(key + 8)};
      multiply_add<T>(state.scores[n], a, b);
    }
  }
}

// Scores as softmax takes them, by powers of two; -inf for keys that are not seen. `query` is of
// row `group`, `key` the tile's first.
template <unsigned kHead, class E>
__device__ void finish_scores(const AttentionTask<E>& task, const float* bias, std::uint32_t tokens,
                              std::uint32_t query, std::uint32_t key, MmaState<kHead>& state) {
  constexpr float kLog2E = 1.44269504f;
  const unsigned place = lane_of_thread() % 4;
  SHEAF_UNROLL
  for (unsigned n = 0; n < MmaShape<kHead>::kKeys / 8; ++n) {
    SHEAF_UNROLL
    for (unsigned i = 0; i < 4; ++i) {
      const std::uint32_t row = query + i / 2 * 8;
      const std::uint32_t column = key + n * 8 + 2 * place + i % 2;
      float score = state.scores[n][i] * task.scale;
      const bool seen = task.sees(row, column, tokens);
      if (bias != nullptr && seen) score += bias[std::int64_t{column} - std::int64_t{row}];
      state.scores[n][i] = seen ? score * kLog2E : -INFINITY;
    }
  }
}

// Scores become weights of the running softmax, and what was summed up before is scaled to them.
template <unsigned kHead>
__device__ void weigh_keys(MmaState<kHead>& state) {
  constexpr unsigned kColumns = MmaShape<kHead>::kKeys / 8;
  SHEAF_UNROLL
  for (unsigned half = 0; half < 2; ++half) {
    float largest = state.largest[half];
    SHEAF_UNROLL
    for (unsigned n = 0; n < kColumns; ++n)
      largest = fmaxf(largest, fmaxf(state.scores[n][2 * half], state.scores[n][2 * half + 1]));
    largest = largest_of_quad(largest);
    const float base = largest == -INFINITY ? 0 : largest;  // no key is seen yet: all weights are 0
    const float kept = exp2f(state.largest[half] - base);
    float weights = 0;
    SHEAF_UNROLL
    for (unsigned n = 0; n < kColumns; ++n) {
      SHEAF_UNROLL
      for (unsigned i = 2 * half; i < 2 * half + 2; ++i) {
        state.scores[n][i] = exp2f(state.scores[n][i] - base);
        weights += state.scores[n][i];
      }
    }
    state.largest[half] = largest;
    state.weights[half] = state.weights[half] * kept + sum_of_quad(weights);
    SHEAF_UNROLL
    for (unsigned n = 0; n < kHead / 8; ++n) {
      state.sums[n][2 * half] *= kept;
      state.sums[n][2 * half + 1] *= kept;
    }
  }
}

// sums += weights v; v transposed [kHead, kKeys + 8]. Sums of one product lie as operands of the
// next are wanted.
template <class T, unsigned kHead>
__device__ void add_values(const T* v, MmaState<kHead>& state) {
  using Shape = MmaShape<kHead>;
  const unsigned group = lane_of_thread() / 4;
  const unsigned place = lane_of_thread() % 4;
  SHEAF_UNROLL
  for (unsigned key = 0; key < Shape::kKeys; key += 16) {
    const float(&left)[4] = state.scores[key / 8];
    const float(&right)[4] = state.scores[key / 8 + 1];
    const std::uint32_t a[4] = {pack_pair<T>(left[0], left[1]), pack_pair<T>(left[2], left[3]),
                                pack_pair<T>(right[0], right[1]), pack_pair<T>(right[2], right[3])};
    SHEAF_UNROLL
    for (unsigned n = 0; n < kHead / 8; ++n) {
      const T* value = v + (n * 8 + group) * Shape::kValueStride + key + 2 * place;
      const std::uint32_t b[2] = {pair_at(value), pair_at(value + 8)};
      multiply_add<T>(state.sums[n], a, b);
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

template <unsigned kHead, class E>
__device__ void write_rows(const AttentionTask<E>& task, const QueryTile& tile, unsigned head,
                           std::uint32_t query, const MmaState<kHead>& state) {
  const unsigned place = lane_of_thread() % 4;
  const bool aligned = lies_at<2 * sizeof(E)>(task.out);
  SHEAF_UNROLL
  for (unsigned half = 0; half < 2; ++half) {
    const std::uint32_t row = query + 8 * half;
    if (row >= tile.tokens) continue;
    E* out = task.out.row(tile.first_row + row) + head * kHead + 2 * place;
    const float inverse = 1 / state.weights[half];
    SHEAF_UNROLL
    for (unsigned n = 0; n < kHead / 8; ++n)
      store_pair(state.sums[n][2 * half] * inverse, state.sums[n][2 * half + 1] * inverse, aligned,
                 out + n * 8);
  }
}

// Blocks: query tiles, heads.
template <unsigned kHead, class T, class E>
__global__ void __launch_bounds__(kMmaWarps* kWarpSize) attend_by_mma(AttentionTask<E> task) {
  using Shape = MmaShape<kHead>;
  const QueryTile tile = task.tiles[blockIdx.x];
  const unsigned head = blockIdx.y;
  T* const q = shared_memory<T>();
  T* const k = q + kTileQueries * Shape::kKeyStride;
  T* const v = k + Shape::kKeys * Shape::kKeyStride;
  const E* text = task.qkv.row(tile.first_row);
  const unsigned key_column = (task.heads + task.kv_head(head)) * kHead;
  const bool aligned = lies_at<16>(task.qkv);
  const HeadRows<T, E> queries = {text + head * kHead, task.qkv.stride, tile.tokens, aligned};
  const HeadRows<T, E> keys = {text + key_column, task.qkv.stride, tile.tokens, aligned};
  const HeadRows<T, E> values = {keys.data + task.kv_heads * kHead, task.qkv.stride, tile.tokens,
                                 aligned};
  const std::uint32_t last_query = smaller(tile.first_query + kTileQueries, tile.tokens);
  const std::uint32_t last_key = task.last_key(last_query, tile.tokens);
  const unsigned warp_row = threadIdx.x / kWarpSize * kMmaQueries;
  const std::uint32_t query = tile.first_query + warp_row + lane_of_thread() / 4;
  const float* bias = task.bias_of(head);

  MmaState<kHead> state;
  for (unsigned half = 0; half < 2; ++half) {
    state.largest[half] = -INFINITY;
    state.weights[half] = 0;
  }
  SHEAF_UNROLL
  for (unsigned n = 0; n < kHead / 8; ++n) {
    SHEAF_UNROLL
    for (unsigned i = 0; i < 4; ++i) state.sums[n][i] = 0;
  }
  load_tile<kHead, kTileQueries>(queries, tile.first_query, q);
  for (std::uint32_t key = task.first_key(tile.first_query); key < last_key; key += Shape::kKeys) {
    __syncthreads();  // nobody reads the tile before
    load_tile<kHead, Shape::kKeys>(keys, key, k);
    load_transposed<kHead>(values, key, v);
    __syncthreads();
    score_keys<T, kHead>(q + warp_row * Shape::kKeyStride, k, state);
    finish_scores(task, bias, tile.tokens, query, key, state);
    weigh_keys<kHead>(state);
    add_values<T, kHead>(v, state);
  }
  write_rows(task, tile, head, query, state);
}

}  // namespace sheaf::kernels::cuda
