#pragma once

#include "kernels/cuda/attention_task.cuh"

// Attention in float32 for heads of any size up to 512 and all that AttentionShape can ask for.
namespace sheaf::kernels::cuda {

constexpr unsigned kWarpQueries = 4;  // that a warp works on at once
constexpr unsigned kAttentionWarps = 4;
constexpr unsigned kBlockQueries = kWarpQueries * kAttentionWarps;
constexpr unsigned kTileKeys = kWarpSize;  // a lane has one of them
constexpr unsigned kMostSlices = 16;       // of 32 values of a head, which a lane has one each of

inline std::size_t attention_shared_bytes(std::size_t head_size) {
  return sizeof(float) * (kBlockQueries * head_size + kTileKeys * (head_size + 1) +
                          kTileKeys * head_size + kBlockQueries * kTileKeys);
}

// The softmax of the keys seen so far by each query of a warp, and the sum of values by it; equal
// on all lanes but for `sums`, of which a lane has the values lane, lane + 32, ...
template <unsigned kSlices>
struct RunningSoftmax {
  float largest[kWarpQueries];
  float weights[kWarpQueries];
  float sums[kWarpQueries][kSlices];
};

__device__ inline float dot(const float* a, const float* b, unsigned count) {
  float sum = 0;
  for (unsigned i = 0; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

// What the tables of positions add to the product of q and k, both [head_size].
template <class E>
__device__ float position_score(const AttentionTask<E>& task, unsigned head, const float* q,
                                const float* k, std::int64_t distance) {
  const std::int64_t reach = static_cast<std::int64_t>(task.position_reach);
  const std::size_t at =
      head * task.table_floats +
      static_cast<std::size_t>(task.position_rows[reach + distance]) * task.head_size;
  float score = 0;
  if (task.position_keys != nullptr) score += dot(q, task.position_keys + at, task.head_size);
  if (task.position_queries != nullptr) score += dot(k, task.position_queries + at, task.head_size);
  return score;
}

// Scores of the warp's queries with the lane's key; those that are not seen are -inf.
template <class E>
__device__ void score_key(const AttentionTask<E>& task, const QueryTile& tile, unsigned head,
                          std::uint32_t first_query, std::uint32_t key, const float* q,
                          const float* k, float (&scores)[kWarpQueries]) {
  SHEAF_UNROLL
  for (unsigned i = 0; i < kWarpQueries; ++i) scores[i] = 0;
  for (unsigned d = 0; d < task.head_size; ++d) {
    SHEAF_UNROLL
    for (unsigned i = 0; i < kWarpQueries; ++i) scores[i] += q[i * task.head_size + d] * k[d];
  }
  const float* bias = task.bias_of(head);
  SHEAF_UNROLL
  for (unsigned i = 0; i < kWarpQueries; ++i) {
    const std::uint32_t query = first_query + i;
    if (!task.sees(query, key, tile.tokens)) {
      scores[i] = -INFINITY;
      continue;
    }
    const std::int64_t distance = std::int64_t{query} - std::int64_t{key};
    if (task.position_rows != nullptr)
      scores[i] += position_score(task, head, q + i * task.head_size, k, distance);
    scores[i] *= task.scale;
    if (bias != nullptr) scores[i] += bias[-distance];
  }
}

// Brings a tile of keys and values into `run`. weights [kWarpQueries, kTileKeys] is the warp's own.
template <unsigned kSlices, class E>
__device__ void add_keys(const AttentionTask<E>& task, float (&scores)[kWarpQueries],
                         const float* v, float* weights, RunningSoftmax<kSlices>& run) {
  const unsigned lane = lane_of_thread();
  SHEAF_UNROLL
  for (unsigned i = 0; i < kWarpQueries; ++i) {
    const float largest = fmaxf(run.largest[i], largest_of_warp(scores[i]));
    const bool none = largest == -INFINITY;  // no key is seen yet
    const float kept = none ? 1 : expf(run.largest[i] - largest);
    const float weight = none ? 0 : expf(scores[i] - largest);
    run.largest[i] = largest;
    run.weights[i] = run.weights[i] * kept + sum_of_warp(weight);
    SHEAF_UNROLL
    for (unsigned s = 0; s < kSlices; ++s) run.sums[i][s] *= kept;
    weights[i * kTileKeys + lane] = weight;
  }
  __syncwarp();
  for (unsigned key = 0; key < kTileKeys; ++key) {
    SHEAF_UNROLL
    for (unsigned s = 0; s < kSlices; ++s) {
      const unsigned d = s * kWarpSize + lane;
      const float value = d < task.head_size ? v[key * task.head_size + d] : 0;
      SHEAF_UNROLL
      for (unsigned i = 0; i < kWarpQueries; ++i)
        run.sums[i][s] += weights[i * kTileKeys + key] * value;
    }
  }
}

// Rows [first, first + count) of a head's columns into shared memory; those from `last` on are 0.
template <class E>
__device__ void load_rows(const Rows<const E>& from, std::size_t first, unsigned count,
                          std::size_t last, unsigned columns, unsigned stride, float* to) {
  for (unsigned i = threadIdx.x; i < count * columns; i += kAttentionWarps * kWarpSize) {
    const unsigned row = i / columns;
    const unsigned column = i % columns;
    to[row * stride + column] = first + row < last ? to_float(from.row(first + row)[column]) : 0;
  }
}

// Blocks for which a multiprocessor is to have registers: 6, and of heads above 64 as many as its
// shared memory has room for. Left to choose, compilers save registers for more, and spill.
template <unsigned kSlices>
constexpr unsigned kLeastBlocks = kSlices < 4 ? 6 : kMostSlices / kSlices;

// softmax(scores) v, over the keys in tiles with a running softmax; a text of up to kTileKeys
// tokens is one tile. Blocks: query tiles, heads, parts of kBlockQueries of a tile.
template <unsigned kSlices, class E>
__global__ void __launch_bounds__(kAttentionWarps* kWarpSize, kLeastBlocks<kSlices>)
    attend(AttentionTask<E> task) {
  const QueryTile tile = task.tiles[blockIdx.x];
  const unsigned head = blockIdx.y;
  const unsigned size = task.head_size;
  const std::uint32_t block_query = tile.first_query + blockIdx.z * kBlockQueries;
  if (block_query >= tile.tokens) return;

  float* const q = shared_memory<float>();
  float* const k = q + kBlockQueries * size;
  float* const v = k + kTileKeys * (size + 1);  // the lanes' keys lie in different banks
  float* const weights = v + kTileKeys * size;
  const unsigned warp = threadIdx.x / kWarpSize;
  const unsigned lane = lane_of_thread();
  const unsigned key_column = (task.heads + task.kv_head(head)) * size;
  const Rows<const E> queries = {task.qkv.data + head * size, task.qkv.stride};
  const Rows<const E> keys = {task.qkv.data + key_column, task.qkv.stride};
  const Rows<const E> values = {keys.data + task.kv_heads * size, task.qkv.stride};
  const std::size_t text_end = std::size_t{tile.first_row} + tile.tokens;
  const std::uint32_t query = block_query + warp * kWarpQueries;
  const std::uint32_t last_query = smaller(block_query + kBlockQueries, tile.tokens);
  const std::uint32_t last_key = task.last_key(last_query, tile.tokens);

  RunningSoftmax<kSlices> run;
  SHEAF_UNROLL
  for (unsigned i = 0; i < kWarpQueries; ++i) {
    run.largest[i] = -INFINITY;
    run.weights[i] = 0;
    SHEAF_UNROLL
    for (unsigned s = 0; s < kSlices; ++s) run.sums[i][s] = 0;
  }
  load_rows(queries, tile.first_row + block_query, kBlockQueries, text_end, size, size, q);
  for (std::uint32_t key = task.first_key(block_query); key < last_key; key += kTileKeys) {
    __syncthreads();  // nobody reads the tile before
    load_rows(keys, tile.first_row + key, kTileKeys, text_end, size, size + 1, k);
    load_rows(values, tile.first_row + key, kTileKeys, text_end, size, size, v);
    __syncthreads();
    float scores[kWarpQueries];
    score_key(task, tile, head, query, key + lane, q + warp * kWarpQueries * size,
              k + lane * (size + 1), scores);
    add_keys(task, scores, v, weights + warp * kWarpQueries * kTileKeys, run);
  }
  SHEAF_UNROLL
  for (unsigned i = 0; i < kWarpQueries; ++i) {
    if (query + i >= tile.tokens) continue;
    E* out = task.out.row(tile.first_row + query + i) + head * size;
    SHEAF_UNROLL
    for (unsigned s = 0; s < kSlices; ++s)
      if (const unsigned d = s * kWarpSize + lane; d < size)
        out[d] = from_float<E>(run.sums[i][s] / run.weights[i]);
  }
}

}  // namespace sheaf::kernels::cuda
