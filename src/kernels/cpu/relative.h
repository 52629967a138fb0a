#pragma once

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/linear.h"
#include "kernels/cpu/tile.h"

// The terms of attention's scores that come from relative positions (ops.h, RelativePositions).
// Both are products with whole panels of the tables' rows in the register tile of the linear
// layers: of the keys once for a piece, of each tile of queries when its turn comes; only panels
// that some of their distances reach are computed. Then every score takes its two elements.
namespace sheaf::kernels::cpu {

// Rows [begin, end) of the tables, from one panel's first to another's last.
struct RowRange {
  std::size_t begin;
  std::size_t end;
};

// What queries [first, last) reach looking at keys [first_key, last_key).
template <class Arch>
SHEAF_INLINE RowRange rows_reached(const AttentionPiece& p, std::size_t first, std::size_t last,
                                   std::size_t first_key, std::size_t last_key) {
  const auto distance = [](std::size_t query, std::size_t key) {
    return static_cast<std::ptrdiff_t>(query) - static_cast<std::ptrdiff_t>(key);
  };
  const auto lowest = static_cast<std::size_t>(p.position_rows[distance(first, last_key - 1)]);
  const auto highest = static_cast<std::size_t>(p.position_rows[distance(last - 1, first_key)]);
  return {lowest - lowest % Arch::panel, panels_of<Arch>(highest + 1) * Arch::panel};
}

// Floats from one row of a product to the next: of all that a text of so many tokens can reach.
template <class Arch>
SHEAF_INLINE std::size_t reach_floats(std::size_t tokens, std::size_t position_count) {
  const std::size_t reach = smaller(2 * tokens, position_count + 1) - 1;
  return (panels_of<Arch>(reach) + 1) * Arch::panel;
}

// out [R][range] = R rows of x times the range of a table.
template <class Arch, int R>
SHEAF_INLINE void times_table(const AttentionPiece& p, const float* x, const float* table,
                              const RowRange& range, float* out, std::size_t out_stride) {
  const std::size_t panels = panels_of<Arch>(p.position_count);
  for (std::size_t k0 = 0; k0 < p.head_size; k0 += kDepth) {
    const std::size_t depth = smaller(kDepth, p.head_size - k0);
    const float* block = table + k0 * panels * Arch::panel;
    for (std::size_t first = range.begin; first < range.end; first += Arch::panel) {
      Sums<Arch, R> sums;
      multiply<Arch, R>(depth, x + k0, p.stride, block + first * depth, {block, 0}, sums);
      for (std::size_t r = 0; r < R; ++r)
        for (std::size_t v = 0; v < Arch::vectors; ++v) {
          float* at = out + r * out_stride + first - range.begin + v * Arch::width;
          Arch::store(at, k0 == 0 ? sums.at[r][v] : Arch::load(at) + sums.at[r][v]);
        }
    }
  }
}

// The keys' product, for all queries of a piece: a row of `span` for each key from first_key on.
struct KeyTerms {
  const float* at;  // [keys][span]
  std::size_t first_key;
  RowRange range;    // of the table's rows
  std::size_t span;  // floats from one key to the next
};

template <class Arch>
SHEAF_INLINE KeyTerms key_terms(const AttentionPiece& p, std::size_t first_key,
                                std::size_t last_key, float* scratch) {
  const std::size_t span = reach_floats<Arch>(p.tokens, p.position_count);
  const RowRange all = rows_reached<Arch>(p, p.first_query, p.last_query, first_key, last_key);
  for_row_groups<Arch>(last_key - first_key, [&]<int R>(std::size_t row) {
    const std::size_t key = first_key + row;
    const RowRange range = rows_reached<Arch>(p, p.first_query, p.last_query, key, key + R);
    times_table<Arch, R>(p, p.k + key * p.stride, p.position_queries, range,
                         scratch + row * span + range.begin - all.begin, span);
  });
  return {scratch, first_key, all, span};
}

// scores[r][t] of query + r and first_key + t, R queries and `keys` keys, get the term of the
// queries' product; `scratch` is [R][reach_floats()].
template <class Arch, int R>
SHEAF_INLINE void add_query_terms(const AttentionPiece& p, std::size_t query, std::size_t first_key,
                                  std::size_t keys, float* scratch, float* scores,
                                  std::size_t scores_stride) {
  const std::size_t span = reach_floats<Arch>(p.tokens, p.position_count);
  const RowRange range = rows_reached<Arch>(p, query, query + R, first_key, first_key + keys);
  times_table<Arch, R>(p, p.q + query * p.stride, p.position_keys, range, scratch, span);
  for (std::size_t r = 0; r < R; ++r) {
    const std::int32_t* row = p.position_rows + (query + r) - first_key;
    const float* terms = scratch + r * span - range.begin;
    float* out = scores + r * scores_stride;
    for (std::size_t t = 0; t < keys; ++t) out[t] += terms[*(row - t)];
  }
}

// The same of the keys' product. A key's elements for neighbouring queries lie together: they are
// taken at once.
template <class Arch, int R>
SHEAF_INLINE void add_key_terms(const AttentionPiece& p, std::size_t query, std::size_t first_key,
                                std::size_t keys, const KeyTerms& terms, float* scores,
                                std::size_t scores_stride) {
  const std::int32_t* row = p.position_rows + query - first_key;
  const float* of_key = terms.at + (first_key - terms.first_key) * terms.span - terms.range.begin;
  for (std::size_t t = 0; t < keys; ++t) {
#pragma GCC unroll 16
    for (std::size_t r = 0; r < R; ++r) scores[r * scores_stride + t] += of_key[row[r]];
    --row;
    of_key += terms.span;
  }
}

}  // namespace sheaf::kernels::cpu
