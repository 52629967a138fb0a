#pragma once

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/linear.h"
#include "kernels/cpu/relative.h"
#include "kernels/cpu/tile.h"

// Both products of attention run in the register tile of the linear layers: k is transposed and v
// copied into panels once for a piece; then for each few queries a whole row of scores lies in the
// first-level cache between the products, so that softmax needs no second pass over memory. Keys
// that no query of a tile sees are skipped, in whole panels.
namespace sheaf::kernels::cpu {

template <class Arch>
struct AttentionScratch {
  float* keys;    // [tokens / panel][head_size][panel]
  float* values;  // [head_size / panel][tokens][panel]
  float* scores;  // [Arch::rows][row_floats]
  std::size_t row_floats;
  float* query_terms;  // with relative positions: [Arch::rows][reach_floats()]
  float* key_terms;    // [tokens][reach_floats()]

  static std::size_t round_up(std::size_t n) { return panels_of<Arch>(n) * Arch::panel; }
  static std::size_t floats(std::size_t tokens, std::size_t head_size, std::size_t positions) {
    const std::size_t terms =
        positions == 0 ? 0 : (Arch::rows + tokens) * reach_floats<Arch>(tokens, positions);
    return round_up(tokens) * head_size + tokens * round_up(head_size) +
           Arch::rows * round_up(tokens) + terms;
  }
  explicit AttentionScratch(const AttentionPiece& p)
      : keys(p.scratch),
        values(keys + round_up(p.tokens) * p.head_size),
        scores(values + p.tokens * round_up(p.head_size)),
        row_floats(round_up(p.tokens)),
        query_terms(scores + Arch::rows * row_floats),
        key_terms(query_terms + Arch::rows * reach_floats<Arch>(p.tokens, p.position_count)) {}
};

// Keys [begin, end) of a text, which some of the queries [first, last) see; begin is a multiple of
// the panel's width.
struct KeyRange {
  std::size_t begin;
  std::size_t end;
};
template <class Arch>
SHEAF_INLINE KeyRange visible_keys(const AttentionPiece& p, std::size_t first, std::size_t last) {
  const std::size_t begin = first - smaller(first, p.before);
  return {begin - begin % Arch::panel, smaller(p.tokens, last + p.after)};
}

template <class Arch>
SHEAF_INLINE void pack_keys(const AttentionPiece& p, const KeyRange& range, float* keys) {
  keys += range.begin * p.head_size;
  for (std::size_t first = range.begin; first < range.end; first += Arch::panel) {
    const std::size_t count = smaller(Arch::panel, p.tokens - first);
    for (std::size_t i = 0; i < p.head_size; ++i) {
      for (std::size_t t = 0; t < count; ++t) keys[t] = p.k[(first + t) * p.stride + i];
      for (std::size_t t = count; t < Arch::panel; ++t) keys[t] = 0;
      keys += Arch::panel;
    }
  }
}

template <class Arch>
SHEAF_INLINE void pack_values(const AttentionPiece& p, const KeyRange& range, float* values) {
  for (std::size_t first = 0; first < p.head_size; first += Arch::panel) {
    const std::size_t count = smaller(Arch::panel, p.head_size - first);
    float* panel = values + first * p.tokens + range.begin * Arch::panel;
    for (std::size_t t = range.begin; t < range.end; ++t) {
      for (std::size_t i = 0; i < count; ++i) panel[i] = p.v[t * p.stride + first + i];
      for (std::size_t i = count; i < Arch::panel; ++i) panel[i] = 0;
      panel += Arch::panel;
    }
  }
}

// scores[begin .. end) become e^(scale * (score - largest)), the others of the row 0; returns their
// sum.
template <class Arch>
SHEAF_INLINE float exponentiate(float* scores, std::size_t begin, std::size_t end,
                                std::size_t row_floats, float scale) {
  using Floats = typename Arch::Floats;
  constexpr std::size_t step = Arch::width;
  for (std::size_t t = 0; t < begin; ++t) scores[t] = -__builtin_inff();
  for (std::size_t t = end; t < row_floats; ++t) scores[t] = -__builtin_inff();
  Floats top = Arch::load(scores);
  for (std::size_t t = step; t < row_floats; t += step)
    top = Arch::max(top, Arch::load(scores + t));
  const float largest = Arch::largest(top);
  Floats sum = {};
  for (std::size_t t = 0; t < row_floats; t += step) {
    const Floats e = Arch::exp((Arch::load(scores + t) - largest) * scale);
    Arch::store(scores + t, e);
    sum += e;
  }
  return Arch::sum(sum);
}

// scores[t] += bias[t] / scale, since exponentiate() will multiply by it.
template <class Arch>
SHEAF_INLINE void add_bias(float* scores, std::size_t tokens, const float* bias, float scale) {
  constexpr std::size_t step = Arch::width;
  const float inverse = 1 / scale;
  std::size_t t = 0;
  for (; t + step <= tokens; t += step)
    Arch::store(scores + t, Arch::load(scores + t) + Arch::load(bias + t) * inverse);
  for (; t < tokens; ++t) scores[t] += bias[t] * inverse;
}

template <class Arch, int R>
SHEAF_INLINE void attend(const AttentionPiece& p, const AttentionScratch<Arch>& s,
                         const KeyTerms& of_keys, std::size_t query, float scale) {
  const KeyRange keys = visible_keys<Arch>(p, query, query + R);
  const std::size_t seen = keys.end - keys.begin;
  const std::size_t row_floats = AttentionScratch<Arch>::round_up(seen);
  for (std::size_t first = 0; first < seen; first += Arch::panel) {
    Sums<Arch, R> sums;
    multiply<Arch, R>(p.head_size, p.q + query * p.stride, p.stride,
                      s.keys + (keys.begin + first) * p.head_size, {s.keys, 0}, sums);
    for (std::size_t r = 0; r < R; ++r)
      for (std::size_t v = 0; v < Arch::vectors; ++v)
        Arch::store(s.scores + r * s.row_floats + first + v * Arch::width, sums.at[r][v]);
  }
  if (p.position_keys != nullptr)
    add_query_terms<Arch, R>(p, query, keys.begin, seen, s.query_terms, s.scores, s.row_floats);
  if (p.position_queries != nullptr)
    add_key_terms<Arch, R>(p, query, keys.begin, seen, of_keys, s.scores, s.row_floats);
  float total[R];
  for (std::size_t r = 0; r < R; ++r) {
    float* scores = s.scores + r * s.row_floats;
    const std::size_t own = query + r;
    if (p.bias != nullptr) add_bias<Arch>(scores, seen, p.bias - own + keys.begin, scale);
    const std::size_t begin = own - smaller(own, p.before);
    const std::size_t end = smaller(p.tokens, own + p.after + 1);
    total[r] = exponentiate<Arch>(scores, begin < keys.begin ? 0 : begin - keys.begin,
                                  end - keys.begin, row_floats, scale);
  }
  for (std::size_t first = 0; first < p.head_size; first += Arch::panel) {
    Sums<Arch, R> sums;
    multiply<Arch, R>(seen, s.scores, s.row_floats,
                      s.values + first * p.tokens + keys.begin * Arch::panel, {s.values, 0}, sums);
    for (std::size_t r = 0; r < R; ++r)
      for (std::size_t v = 0; v < Arch::vectors; ++v) {
        const std::size_t column = first + v * Arch::width;
        const auto left =
            static_cast<std::ptrdiff_t>(p.head_size) - static_cast<std::ptrdiff_t>(column);
        Arch::store_first(p.out + (query + r) * p.out_stride + column, sums.at[r][v] / total[r],
                          left);
      }
  }
}

template <class Arch>
std::size_t attention_scratch(std::size_t tokens, std::size_t head_size,
                              std::size_t position_count) {
  return AttentionScratch<Arch>::floats(tokens, head_size, position_count);
}

template <class Arch>
void attention(const AttentionPiece& p) {
  const AttentionScratch<Arch> scratch(p);
  const KeyRange keys = visible_keys<Arch>(p, p.first_query, p.last_query);
  pack_keys<Arch>(p, keys, scratch.keys);
  pack_values<Arch>(p, keys, scratch.values);
  const std::size_t terms =
      1 + (p.position_keys != nullptr ? 1 : 0) + (p.position_queries != nullptr ? 1 : 0);
  const float scale = 1 / __builtin_sqrtf(static_cast<float>(p.head_size * terms));
  KeyTerms of_keys = {};
  if (p.position_queries != nullptr)
    of_keys = key_terms<Arch>(p, keys.begin, keys.end, scratch.key_terms);
  for_row_groups<Arch>(p.last_query - p.first_query, [&]<int R>(std::size_t query) {
    attend<Arch, R>(p, scratch, of_keys, p.first_query + query, scale);
  });
}

}  // namespace sheaf::kernels::cpu
