#pragma once

#include "kernels/cuda/attention_task.cuh"
#include "kernels/cuda/mma.cuh"

// The running softmax of scores that lie as matrix units leave them, in the registers of the lanes
// of a warp: what attention by products of warps and by those of warpgroups have in common. A Shape
// has kHead, values of a head; kKeys of a tile; and kRowBlocks of 16 queries that a warp has.
namespace sheaf::kernels::cuda {

constexpr unsigned kMmaRows = 16;  // of a product: queries, and keys that are skipped or not

constexpr float kLog2E = 1.44269504f;

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
template <class Shape>
struct MmaState {
  float scores[Shape::kRowBlocks][Shape::kKeys / 8][4];
  float sums[Shape::kRowBlocks][Shape::kHead / 8][4];
  float largest[Shape::kRowBlocks][2];
  float weights[Shape::kRowBlocks][2];  // of the lane's own keys
};

template <class Shape>
__device__ void clear(MmaState<Shape>& state) {
  SHEAF_UNROLL
  for (unsigned r = 0; r < Shape::kRowBlocks; ++r) {
    SHEAF_UNROLL
    for (unsigned half = 0; half < 2; ++half) {
      state.largest[r][half] = -INFINITY;
      state.weights[r][half] = 0;
    }
    SHEAF_UNROLL
    for (unsigned n = 0; n < Shape::kHead / 8; ++n) {
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

// change(row, column, score) of those scores of a lane that are in the blocks: of a query and a key
// of the text. `query` is the warp's first, `key` the tile's.
template <class Shape, class Change>
__device__ void change_scores(std::uint32_t query, std::uint32_t key, const PartOfTile& blocks,
                              MmaState<Shape>& state, const Change& change) {
  const std::uint32_t first_row = query + lane_of_thread() / 4;
  const std::uint32_t first_column = key + lane_of_thread() % 4 * 2;
  SHEAF_UNROLL
  for (unsigned n = 0; n < Shape::kKeys / 8; ++n) {
    if (!blocks.has(n / 2)) continue;
    SHEAF_UNROLL
    for (unsigned r = 0; r < Shape::kRowBlocks; ++r) {
      SHEAF_UNROLL
      for (unsigned i = 0; i < 4; ++i)
        change(first_row + r * kMmaRows + i / 2 * 8, first_column + n * 8 + i % 2,
               state.scores[r][n][i]);
    }
  }
}

// -inf for keys that are not seen. What rows behind the text get is never read.
template <class Shape, class E>
__device__ void mask_scores(const AttentionTask<E>& task, std::uint32_t tokens, std::uint32_t query,
                            std::uint32_t key, const PartOfTile& blocks, MmaState<Shape>& state) {
  const std::uint32_t before = smaller(task.before, tokens);
  const std::uint32_t after = smaller(task.after, tokens);
  change_scores(query, key, blocks, state,
                [=](std::uint32_t row, std::uint32_t column, float& score) {
                  // As task.sees() says of a row of the text, with one comparison less.
                  if (column >= tokens || column + before - row > before + after) score = -INFINITY;
                });
}

// Scores become scaled ones with their biases, for powers of two.
template <class Shape>
__device__ void add_biases(const float* bias, float scale, std::uint32_t tokens,
                           std::uint32_t query, std::uint32_t key, const PartOfTile& blocks,
                           MmaState<Shape>& state) {
  change_scores(
      query, key, blocks, state, [=](std::uint32_t row, std::uint32_t column, float& score) {
        if (row < tokens && column < tokens)
          score = kLog2E * (score * scale + bias[std::int64_t{column} - std::int64_t{row}]);
      });
}

// Of each of a lane's rows: what sums are to be multiplied by once its largest score has grown.
template <class Shape>
struct KeptShares {
  float of[2 * Shape::kRowBlocks];
};

// What is taken off scores, those of powers of two, before they become weights. Where no key is
// seen yet nothing, and all weights are 0.
__device__ inline float base_of(float largest, float factor) {
  return largest == -INFINITY ? 0 : largest * factor;
}

// The softmax of another tile's scores, times `factor`, above 0, those of powers of two, takes
// three steps; scale_sums() may also come behind them. First, the largest scores.
template <class Shape, class Blocks>
__device__ KeptShares<Shape> raise_largest(float factor, const Blocks& blocks,
                                           MmaState<Shape>& state) {
  constexpr unsigned kRows = 2 * Shape::kRowBlocks;  // of a lane
  float largest[kRows];
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
  KeptShares<Shape> kept;
  SHEAF_UNROLL
  for (unsigned i = 0; i < kRows; ++i) {
    largest[i] = largest_of_quad(largest[i]);
    kept.of[i] = fast_exp2(state.largest[i / 2][i % 2] * factor - base_of(largest[i], factor));
    state.largest[i / 2][i % 2] = largest[i];
  }
  return kept;
}

// Second, what was added up before.
template <class Shape>
__device__ void scale_weights(const KeptShares<Shape>& kept, MmaState<Shape>& state) {
  SHEAF_UNROLL
  for (unsigned i = 0; i < 2 * Shape::kRowBlocks; ++i) state.weights[i / 2][i % 2] *= kept.of[i];
}
template <class Shape>
__device__ void scale_sums(const KeptShares<Shape>& kept, MmaState<Shape>& state) {
  SHEAF_UNROLL
  for (unsigned i = 0; i < 2 * Shape::kRowBlocks; ++i) {
    SHEAF_UNROLL
    for (unsigned n = 0; n < Shape::kHead / 8; ++n) {
      state.sums[i / 2][n][i % 2 * 2] *= kept.of[i];
      state.sums[i / 2][n][i % 2 * 2 + 1] *= kept.of[i];
    }
  }
}

// Third, scores become weights.
template <class Shape, class Blocks>
__device__ void weigh_keys(float factor, const Blocks& blocks, MmaState<Shape>& state) {
  constexpr unsigned kRows = 2 * Shape::kRowBlocks;
  float base[kRows];
  SHEAF_UNROLL
  for (unsigned i = 0; i < kRows; ++i) base[i] = base_of(state.largest[i / 2][i % 2], factor);
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

// A tile's weights of a block of 16 rows and of one of 16 keys as operand a of the product with
// values: sums of one product lie as operands of the next are wanted.
template <class T, class Shape>
__device__ void pack_weights(const MmaState<Shape>& state, unsigned rows, unsigned block,
                             std::uint32_t (&a)[4]) {
  const float(&left)[4] = state.scores[rows][2 * block];
  const float(&right)[4] = state.scores[rows][2 * block + 1];
  a[0] = pack_pair<T>(left[0], left[1]);
  a[1] = pack_pair<T>(left[2], left[3]);
  a[2] = pack_pair<T>(right[0], right[1]);
  a[3] = pack_pair<T>(right[2], right[3]);
}

// A warp's sums by their weights, as put(row, column, pair of neighbours); rows from the warp's
// first on, of which the first `count` are.
template <class Shape, class Put>
__device__ void put_sums(MmaState<Shape>& state, unsigned count, const Put& put) {
  const unsigned group = lane_of_thread() / 4;
  const unsigned place = lane_of_thread() % 4;
  SHEAF_UNROLL
  for (unsigned r = 0; r < Shape::kRowBlocks; ++r) {
    SHEAF_UNROLL
    for (unsigned half = 0; half < 2; ++half) {
      const float inverse = 1 / sum_of_quad(state.weights[r][half]);
      const unsigned row = r * kMmaRows + half * 8 + group;
      if (row >= count) continue;
      SHEAF_UNROLL
      for (unsigned n = 0; n < Shape::kHead / 8; ++n) {
        const float pair[2] = {state.sums[r][n][2 * half] * inverse,
                               state.sums[r][n][2 * half + 1] * inverse};
        put(row, n * 8 + 2 * place, pair);
      }
    }
  }
}

}  // namespace sheaf::kernels::cuda
