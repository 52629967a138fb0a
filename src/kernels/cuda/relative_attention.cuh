#pragma once

#include "kernels/cuda/mma_attention.cuh"
#include "kernels/cuda/position_table.h"

// Attention with tables of positions (ops.h, RelativePositions) by matrix units, for heads of 32,
// 64 and 128: that of mma_attention.cuh, where scores get two terms more. A tile's queries and keys
// are so few distances apart that the rows of the tables that they reach are a short run. A warp
// multiplies its queries by the run of the table of keys, all warps of a block share the run of the
// table of queries times the tile's keys; these terms are rounded to T, as q, k and v are, and
// written to shared memory, where every score takes its two. Tables are read as operands from
// where they lie (position_table.h), by way of the L1 cache. docs/cuda.md counts what all that
// takes.
namespace sheaf::kernels::cuda {

template <unsigned kHeadSize>
struct RelativeShape : MmaShape<kHeadSize> {
  using Base = MmaShape<kHeadSize>;
  static constexpr unsigned kKeys = kHeadSize <= 64 ? 64 : 32;  // terms need shared memory too
  static_assert(Base::kRowBlocks == 2 && PositionTable<Half>::kBlockRows == kMmaRows);

  // Rows of a table that so many queries reach at most, looking at a tile's keys: one for each
  // distance, as whole blocks of 16 that begin anywhere.
  __host__ __device__ static constexpr unsigned rows_reached(unsigned queries) {
    return (queries + kKeys - 1 + kMmaRows - 1 + kMmaRows - 1) / kMmaRows * kMmaRows;
  }
  // Rows of terms, in elements: an odd multiple of 16 bytes, so that what a warp writes at once
  // lies in all banks, and what it reads in half of them (terms of queries) or in all (those of
  // keys). Results leave by way of the terms of queries.
  static constexpr unsigned kRowTerms = rows_reached(Base::kQueries) + 8;
  static constexpr unsigned kQueryTerms = kRowTerms > Base::kStride ? kRowTerms : Base::kStride;
  static constexpr unsigned kKeyTerms = kKeys + 8;
  static_assert(kQueryTerms % 16 == 8 && kKeyTerms % 16 == 8);

  // Elements of k [kKeys, kStride] and v likewise, terms of keys [rows_reached, kKeyTerms], and for
  // each warp terms of queries [kQueries, kQueryTerms]. Queries [kQueries, kStride] a warp lie
  // before these, or, if they are kept in registers, where these are written later.
  __host__ __device__ static constexpr unsigned key_terms(unsigned warps) {
    return rows_reached(warps * Base::kQueries) * kKeyTerms;
  }
  __host__ __device__ static constexpr unsigned queries_before_terms(unsigned warps) {
    return Base::kKeepsQueries ? 0 : warps * Base::kQueries * Base::kStride;
  }
  static constexpr std::size_t shared_bytes(unsigned warps) {
    return sizeof(std::uint16_t) *
           (2 * kKeys * Base::kStride + key_terms(warps) + queries_before_terms(warps) +
            warps * Base::kQueries * kQueryTerms);
  }
};

// Which row of the tables a distance has. Those beyond the text's own, of queries and keys behind
// its end, have the farthest one's, so that all of a tile lie between those of its corners.
struct DistanceRows {
  const std::int32_t* of_zero;
  std::int32_t farthest;
  __device__ unsigned of(std::int32_t distance) const {
    return static_cast<unsigned>(of_zero[larger(-farthest, smaller(distance, farthest))]);
  }
};

// Neighbouring blocks of 16 rows of a table.
struct TableRun {
  unsigned first, count;
  __device__ unsigned first_row() const { return first * kMmaRows; }
};
// Of `queries` from `query` on and `keys` from `key` on.
__device__ inline TableRun run_of(const DistanceRows& rows, std::uint32_t query, unsigned queries,
                                  std::uint32_t key, unsigned keys) {
  const auto distance = static_cast<std::int32_t>(query - key);
  const unsigned first = rows.of(distance - static_cast<std::int32_t>(keys - 1)) / kMmaRows;
  const unsigned last = rows.of(distance + static_cast<std::int32_t>(queries - 1)) / kMmaRows;
  return {first, last + 1 - first};
}

// A head's part of a table, as operands.
template <class Shape, class T>
struct TableRows {
  static constexpr unsigned kSteps = Shape::kHead / kMmaRows;
  const Eight* data = nullptr;  // at the lane's place; null: there is no such table

  template <class E>
  __device__ TableRows(const AttentionTask<E>& task, const float* table, unsigned head) {
    if (table != nullptr)
      data = reinterpret_cast<const Eight*>(table + head * task.table_floats) + lane_of_thread();
  }
  // Columns [16 d, 16 d + 16) of a block.
  __device__ Eight read(unsigned block, unsigned d) const {
    return data[(std::size_t{block} * kSteps + d) * kWarpSize];
  }
};

// Two blocks of a table in the place of a warp's queries; beyond the run's last that one again.
template <class Shape, class T>
struct TableQueries {
  static constexpr unsigned kKept = Shape::kKeepsQueries ? Shape::kHead / kMmaRows : 1;
  TableRows<Shape, T> table;
  unsigned blocks[Shape::kRowBlocks];
  std::uint32_t kept[Shape::kRowBlocks][kKept][4];

  __device__ TableQueries(const TableRows<Shape, T>& rows, const TableRun& run, unsigned block)
      : table(rows) {
    SHEAF_UNROLL
    for (unsigned r = 0; r < Shape::kRowBlocks; ++r)
      blocks[r] = run.first + smaller(block + r, run.count - 1);
    if constexpr (kKept > 1) {
      SHEAF_UNROLL
      for (unsigned d = 0; d < kKept; ++d) read(d);
    }
  }
  __device__ void read(unsigned d) {
    SHEAF_UNROLL
    for (unsigned r = 0; r < Shape::kRowBlocks; ++r) {
      const Eight rows = table.read(blocks[r], d);
      SHEAF_UNROLL
      for (unsigned i = 0; i < 4; ++i) kept[r][d % kKept][i] = rows.pairs[i];
    }
  }
};

// d of a product, rounded, to [16, 8] of rows of so many elements.
template <unsigned kStride, class T>
__device__ void store_product(const float (&d)[4], T* to) {
  const unsigned lane = lane_of_thread();
  to += lane / 4 * kStride + lane % 4 * 2;
  SHEAF_UNROLL
  for (unsigned half = 0; half < 2; ++half) {
    const float pair[2] = {d[2 * half], d[2 * half + 1]};
    store<2>(pair, to + 8 * half * kStride);
  }
}

// terms [rows of the run, kKeyTerms] = table k^T, of the first blocks of 16 keys. All warps of a
// block, each of which takes two blocks of the table in turn.
template <class Shape, class T>
__device__ void multiply_keys(const TableRows<Shape, T>& table, const TableRun& run, const T* k,
                              unsigned key_blocks, T* terms) {
  const PartOfTile blocks = {0, key_blocks};
  const unsigned step = blockDim.x / kWarpSize * Shape::kRowBlocks;
  for (unsigned block = threadIdx.x / kWarpSize * Shape::kRowBlocks; block < run.count;
       block += step) {
    TableQueries<Shape, T> rows(table, run, block);
    MmaState<Shape> products;
    score_keys(rows, k, blocks, products);
    SHEAF_UNROLL
    for (unsigned r = 0; r < Shape::kRowBlocks; ++r) {
      if (block + r >= run.count) continue;
      T* const to = terms + (block + r) * kMmaRows * Shape::kKeyTerms;
      SHEAF_UNROLL
      for (unsigned n = 0; n < Shape::kKeys / 8; ++n)
        if (blocks.has(n / 2)) store_product<Shape::kKeyTerms>(products.scores[r][n], to + n * 8);
    }
  }
}

// terms [kQueries, kQueryTerms] = q table^T, of the rows of a run. A warp's own. A block of the
// table comes while that before it is multiplied by.
template <class Shape, class T>
__device__ void multiply_queries(MmaQueries<Shape, T>& q, const TableRows<Shape, T>& table,
                                 const TableRun& run, T* terms) {
  constexpr unsigned kKept = MmaQueries<Shape, T>::kKept;
  constexpr unsigned kSteps = TableRows<Shape, T>::kSteps;
  Eight next[kSteps];
  const auto read_next = [&](unsigned block) {
    SHEAF_UNROLL
    for (unsigned d = 0; d < kSteps; ++d) next[d] = table.read(run.first + block, d);
  };
  read_next(0);
  for (unsigned block = 0; block < run.count; ++block) {
    Eight rows[kSteps];
    SHEAF_UNROLL
    for (unsigned d = 0; d < kSteps; ++d) rows[d] = next[d];
    if (block + 1 < run.count) read_next(block + 1);
    float products[Shape::kRowBlocks][2][4] = {};
    SHEAF_UNROLL
    for (unsigned d = 0; d < kSteps; ++d) {
      if constexpr (kKept == 1) q.read(d);
      SHEAF_UNROLL
      for (unsigned r = 0; r < Shape::kRowBlocks; ++r) {
        SHEAF_UNROLL
        for (unsigned n = 0; n < 2; ++n)
          multiply_add<T>(products[r][n], q.kept[r][d % kKept],
                          {rows[d].pairs[n], rows[d].pairs[n + 2]});
      }
    }
    SHEAF_UNROLL
    for (unsigned r = 0; r < Shape::kRowBlocks; ++r) {
      SHEAF_UNROLL
      for (unsigned n = 0; n < 2; ++n)
        store_product<Shape::kQueryTerms>(
            products[r][n], terms + r * kMmaRows * Shape::kQueryTerms + block * kMmaRows + n * 8);
    }
  }
}

// Which rows of the tables a lane's scores take: of 32 queries and 64 keys it has 22 distances.
template <class Shape>
struct ReachedRows {
  static constexpr unsigned kKeyBlocks = Shape::kKeys / 8;
  unsigned rows[kKeyBlocks + 2 * Shape::kRowBlocks - 1][2];

  __device__ ReachedRows(const DistanceRows& distances, std::uint32_t query, std::uint32_t key) {
    const unsigned lane = lane_of_thread();
    const auto least =
        static_cast<std::int32_t>(query + lane / 4 - (key + lane % 4 * 2) - 8 * (kKeyBlocks - 1));
    SHEAF_UNROLL
    for (int i = 0; i < int{kKeyBlocks + 2 * Shape::kRowBlocks - 1}; ++i) {
      rows[i][0] = distances.of(least + 8 * i);
      rows[i][1] = distances.of(least + 8 * i - 1);
    }
  }
  // Of state.scores[r][n][i].
  __device__ unsigned of(unsigned r, unsigned n, unsigned i) const {
    return rows[2 * r + i / 2 + kKeyBlocks - 1 - n][i % 2];
  }
};

// Adds term(r, n, i) to each of a lane's scores; to those that are never read, what lies there.
template <class Shape, class Term>
__device__ void add_terms(MmaState<Shape>& state, const Term& term) {
  SHEAF_UNROLL
  for (unsigned n = 0; n < Shape::kKeys / 8; ++n) {
    SHEAF_UNROLL
    for (unsigned r = 0; r < Shape::kRowBlocks; ++r) {
      SHEAF_UNROLL
      for (unsigned i = 0; i < 4; ++i) state.scores[r][n][i] += to_float(term(r, n, i));
    }
  }
}
template <class Shape, class T>
__device__ void add_query_terms(const T* terms, const TableRun& run,
                                const ReachedRows<Shape>& reached, MmaState<Shape>& state) {
  const T* const own = terms + lane_of_thread() / 4 * Shape::kQueryTerms;
  add_terms(state, [&](unsigned r, unsigned n, unsigned i) {
    return own[(r * kMmaRows + i / 2 * 8) * Shape::kQueryTerms + reached.of(r, n, i) -
               run.first_row()];
  });
}
template <class Shape, class T>
__device__ void add_key_terms(const T* terms, const TableRun& run,
                              const ReachedRows<Shape>& reached, MmaState<Shape>& state) {
  const T* const own = terms + lane_of_thread() % 4 * 2;
  add_terms(state, [&](unsigned r, unsigned n, unsigned i) {
    return own[(reached.of(r, n, i) - run.first_row()) * Shape::kKeyTerms + n * 8 + i % 2];
  });
}

// Blocks and warps as of attend_by_mma().
template <unsigned kHead, class T, class E>
__global__ void __launch_bounds__(kMmaWarps* kWarpSize) attend_by_tables(AttentionTask<E> task) {
  using Shape = RelativeShape<kHead>;
  const QueryTile tile = task.tiles[blockIdx.x];
  const unsigned head = blockIdx.y;
  const unsigned warps = blockDim.x / kWarpSize;
  const unsigned block_queries = warps * Shape::kQueries;
  const std::uint32_t block_query = tile.first_query + blockIdx.z * block_queries;
  if (block_query >= tile.tokens) return;

  // From one lane, so that the compiler knows what all agree on.
  const unsigned warp = __shfl_sync(kAllLanes, threadIdx.x / kWarpSize, 0);
  T* const k = shared_memory<T>();
  T* const v = k + Shape::kKeys * Shape::kStride;
  T* const key_terms = v + Shape::kKeys * Shape::kStride;
  T* const q = key_terms + Shape::key_terms(warps);
  T* const query_terms =
      q + Shape::queries_before_terms(warps) + warp * Shape::kQueries * Shape::kQueryTerms;
  const HeadOfText<E> text = head_of_text<kHead>(task, tile, head);
  const std::uint32_t last_key =
      task.last_key(smaller(block_query + block_queries, tile.tokens), tile.tokens);
  const std::uint32_t query = block_query + warp * Shape::kQueries;  // the warp's first
  const std::uint32_t last_query = smaller(query + Shape::kQueries, tile.tokens);
  const SeenKeys seen = seen_keys(task, query, last_query, tile.tokens);
  const DistanceRows distances = {task.position_rows + task.position_reach,
                                  static_cast<std::int32_t>(tile.tokens - 1)};
  const TableRows<Shape, T> of_keys(task, task.position_keys, head);
  const TableRows<Shape, T> of_queries(task, task.position_queries, head);
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
  MmaQueries<Shape, T> operands(q + warp * Shape::kQueries * Shape::kStride);
  if constexpr (Shape::kKeepsQueries) __syncthreads();  // terms may take their place
  while (true) {
    const TableRun run = run_of(distances, query, Shape::kQueries, key, Shape::kKeys);
    const TableRun block_run = run_of(distances, block_query, block_queries, key, Shape::kKeys);
    const PartOfTile part = part_of_tile<Shape::kKeys>(seen, key);
    if (of_queries.data != nullptr)
      multiply_keys(of_queries, block_run, k,
                    (smaller(last_key - key, Shape::kKeys) + kMmaRows - 1) / kMmaRows, key_terms);
    if (of_keys.data != nullptr) multiply_queries(operands, of_keys, run, query_terms);
    score_keys(operands, k, part, state);
    await_copies<0>();
    __syncthreads();  // values and terms are there, and nobody reads the keys any more
    const std::uint32_t next = key + Shape::kKeys;
    if (next < last_key) load_keys<Shape>(text.keys, next, last_key, task.aligned, k);
    const ReachedRows<Shape> reached(distances, query, key);
    if (of_keys.data != nullptr) add_query_terms(query_terms, run, reached, state);
    if (of_queries.data != nullptr) add_key_terms(key_terms, block_run, reached, state);
    if (!is_whole<Shape::kKeys>(seen, key)) mask_scores(task, tile.tokens, query, key, part, state);
    if (bias != nullptr) add_biases(bias, task.scale, tile.tokens, query, key, part, state);
    const KeptShares<Shape> kept = raise_largest(factor, part, state);
    scale_weights(kept, state);
    scale_sums(kept, state);
    weigh_keys(factor, part, state);
    add_values(v, part, state);
    if (next >= last_key) break;
    key = next;
    await_copies<0>();
    __syncthreads();  // keys are there, and nobody reads values and terms any more
    load_keys<Shape>(text.values, key, last_key, task.aligned, v);
  }
  __syncwarp();  // nobody reads terms, by way of which results leave, any more
  if (query < last_query)
    write_rows(Rows<E>{task.out.row(tile.first_row + query) + head * kHead, task.out.stride},
               last_query - query, query_terms, state);
}

}  // namespace sheaf::kernels::cuda
