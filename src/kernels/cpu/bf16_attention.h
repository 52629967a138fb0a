#pragma once

#include "kernels/cpu/bf16.h"

// Attention in bfloat16 with sums in float32; softmax is float32. Keys are packed like a layer's
// weight [keys, head_size], values like one [head_size, keys]; then for each few queries a block of
// scores, its softmax in bfloat16, and the second product. Panels of keys that none of the queries
// sees are skipped.
//
// Product is how a source file multiplies such rows by panels, while one of it lives:
//   static constexpr std::size_t rows       the most at a time
//   static void multiply(const Bf16* x, std::size_t row_bytes, std::size_t rows, std::size_t steps,
//                        const Bf16* panel, float* sums, std::size_t sums_stride)
// sums [rows][32] = rows of x of so many steps times one panel.
namespace sheaf::kernels::cpu {

SHEAF_INLINE std::size_t whole_panels(std::size_t n) {
  return (n + kBf16Panel - 1) / kBf16Panel * kBf16Panel;
}

template <class Product>
struct Bf16Scratch {
  Bf16* keys;     // [keys / 32][head_size / 32 steps]
  Bf16* values;   // [head_size / 32][keys / 32 steps]
  Bf16* queries;  // [Product::rows][head_size]
  Bf16* shares;   // [Product::rows][keys]: the softmax, not divided by its sum yet
  float* scores;  // [Product::rows][keys]
  float* sums;    // [Product::rows][32]

  static std::size_t floats(std::size_t tokens, std::size_t head_size) {
    const std::size_t keys = whole_panels(tokens), size = whole_panels(head_size);
    return keys * size + Product::rows * size / 2 + Product::rows * keys / 2 +
           Product::rows * keys + Product::rows * kBf16Panel;
  }
  SHEAF_INLINE explicit Bf16Scratch(const AttentionPieceOf<Bf16>& p) {
    const std::size_t tokens = whole_panels(p.tokens), size = whole_panels(p.head_size);
    keys = reinterpret_cast<Bf16*>(p.scratch);
    values = keys + tokens * size;
    queries = values + tokens * size;
    shares = queries + Product::rows * size;
    scores = reinterpret_cast<float*>(shares + Product::rows * tokens);
    sums = scores + Product::rows * tokens;
  }
};

template <class Product>
std::size_t bf16_attention_scratch(std::size_t tokens, std::size_t head_size,
                                   std::size_t /*position_count*/) {
  return Bf16Scratch<Product>::floats(tokens, head_size);
}

// Rows and columns of 16 x 16 numbers change places: neighbours by two, by four, then quarters of
// registers.
SHEAF_INLINE void transpose(__m512i (&rows)[16]) {
  __m512i twos[16], fours[16], halves[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    twos[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
    twos[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {  // [i + j]: in quarter q column 4 q + j of rows i to i + 3
    fours[i] = _mm512_unpacklo_epi64(twos[i], twos[i + 2]);
    fours[i + 1] = _mm512_unpackhi_epi64(twos[i], twos[i + 2]);
    fours[i + 2] = _mm512_unpacklo_epi64(twos[i + 1], twos[i + 3]);
    fours[i + 3] = _mm512_unpackhi_epi64(twos[i + 1], twos[i + 3]);
  }
  constexpr int kEven = 0x88, kOdd = 0xdd;  // quarters 0 and 2, 1 and 3, of each operand
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    halves[j] = _mm512_shuffle_i32x4(fours[j], fours[4 + j], kEven);
    halves[4 + j] = _mm512_shuffle_i32x4(fours[j], fours[4 + j], kOdd);
    halves[8 + j] = _mm512_shuffle_i32x4(fours[8 + j], fours[12 + j], kEven);
    halves[12 + j] = _mm512_shuffle_i32x4(fours[8 + j], fours[12 + j], kOdd);
  }
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    rows[j] = _mm512_shuffle_i32x4(halves[j], halves[8 + j], kEven);
    rows[4 + j] = _mm512_shuffle_i32x4(halves[4 + j], halves[12 + j], kEven);
    rows[8 + j] = _mm512_shuffle_i32x4(halves[j], halves[8 + j], kOdd);
    rows[12 + j] = _mm512_shuffle_i32x4(halves[4 + j], halves[12 + j], kOdd);
  }
}

// Keys [begin, end), multiples of 32: those of them that do not exist are zeros.
template <class Product>
SHEAF_INLINE void pack_bf16_keys(const AttentionPieceOf<Bf16>& p, std::size_t begin,
                                 std::size_t end, const Bf16Scratch<Product>& s) {
  const std::size_t steps = bf16_steps(p.head_size);
  for (std::size_t key = begin; key < end; key += 16)
    for (std::size_t step = 0; step < steps; ++step) {
      __m512i pairs[16];
#pragma GCC unroll 16
      for (std::size_t i = 0; i < 16; ++i) {
        const std::size_t left = key + i < p.tokens ? p.head_size - step * kBf16Step : 0;
        pairs[i] = reinterpret_cast<__m512i>(
            bf16_step(p.k + (key + i) * p.stride + step * kBf16Step, left));
      }
      transpose(pairs);
      __builtin_memcpy(s.keys + bf16_at(steps, key, step * kBf16Step), pairs, sizeof pairs);
    }
}

// The same of values, of which two neighbours are a pair.
template <class Product>
SHEAF_INLINE void pack_bf16_values(const AttentionPieceOf<Bf16>& p, std::size_t begin,
                                   std::size_t end, const Bf16Scratch<Product>& s) {
  // From 16 of one row and 16 of the next to pairs.
  const __m512i interleave =
      _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                       21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  const std::size_t steps = whole_panels(p.tokens) / kBf16Step;
  for (std::size_t column = 0; column < whole_panels(p.head_size); column += 16) {
    const std::size_t left = p.head_size > column ? smaller(p.head_size - column, 16) : 0;
    const auto exist = static_cast<__mmask16>((1u << left) - 1);
    const Bf16* from = p.v + column;
    for (std::size_t key = begin; key < end; key += 2) {
      const __mmask16 first = key < p.tokens ? exist : __mmask16{0};
      const __mmask16 second = key + 1 < p.tokens ? exist : __mmask16{0};
      const __m512i both = _mm512_inserti64x4(
          _mm512_castsi256_si512(_mm256_maskz_loadu_epi16(first, from + key * p.stride)),
          _mm256_maskz_loadu_epi16(second, from + (key + 1) * p.stride), 1);
      _mm512_storeu_si512(s.values + bf16_at(steps, column, key),
                          _mm512_permutexvar_epi16(interleave, both));
    }
  }
}

// e^x for x <= 0; relative error <= 3e-6, far below a share's own rounding to bfloat16.
SHEAF_INLINE __m512 exp_near(__m512 x) {
  const __m512 t = _mm512_mul_ps(x, _mm512_set1_ps(1.44269504f));
  const __m512 n = _mm512_roundscale_ps(t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 f = _mm512_sub_ps(t, n);
  // 2^f on [-1/2, 1/2], a fit of degree 4.
  __m512 p = _mm512_set1_ps(9.58285e-3f);
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(5.590642e-2f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(2.4024099e-1f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(6.9312419e-1f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0f));
  return _mm512_scalef_ps(p, n);
}

// shares[0 .. count) = e^(scale * (score - largest)) of the scores [begin, end), else 0; count is a
// multiple of 32. Returns their sum.
SHEAF_INLINE float softmax_row(float* scores, std::size_t begin, std::size_t end, std::size_t count,
                               float scale, Bf16* shares) {
  constexpr float kUnseen = -3e38f;  // not infinite: e^x would be no number
  for (std::size_t at = 0; at < begin; ++at) scores[at] = kUnseen;
  for (std::size_t at = end; at < count; ++at) scores[at] = kUnseen;
  __m512 top = _mm512_loadu_ps(scores);
  for (std::size_t at = 16; at < count; at += 16)
    top = _mm512_max_ps(top, _mm512_loadu_ps(scores + at));
  const __m512 largest = _mm512_set1_ps(_mm512_reduce_max_ps(top));
  const __m512 times = _mm512_set1_ps(scale);
  __m512 sum = _mm512_setzero_ps();
  const auto share = [=](std::size_t at) {
    return exp_near(_mm512_mul_ps(_mm512_sub_ps(_mm512_loadu_ps(scores + at), largest), times));
  };
  for (std::size_t at = 0; at < count; at += 32) {
    const __m512 low = share(at), high = share(at + 16);
    sum = _mm512_add_ps(sum, _mm512_add_ps(low, high));
    const __m512bh both = _mm512_cvtne2ps_pbh(high, low);
    __builtin_memcpy(shares + at, &both, sizeof both);
  }
  return _mm512_reduce_add_ps(sum);
}

// The first `left` of 32 sums, each times the same.
SHEAF_INLINE void store_scaled(const float* sums, __m512 scale, std::size_t left, Bf16* out) {
  const __mmask32 exist = left >= 32 ? 0xffffffff : (1u << left) - 1;
  const __m512bh both = _mm512_cvtne2ps_pbh(_mm512_mul_ps(_mm512_loadu_ps(sums + 16), scale),
                                            _mm512_mul_ps(_mm512_loadu_ps(sums), scale));
  _mm512_mask_storeu_epi16(out, exist, reinterpret_cast<__m512i>(both));
}

// Queries [first, first + rows) over the keys [begin, end), multiples of 32.
template <class Product>
SHEAF_INLINE void attend_rows(const AttentionPieceOf<Bf16>& p, const Bf16Scratch<Product>& s,
                              std::size_t first, std::size_t rows, std::size_t begin,
                              std::size_t end, float scale) {
  const std::size_t steps = bf16_steps(p.head_size), count = end - begin;
  for (std::size_t r = 0; r < rows; ++r)
    row_to_bf16(p.q + (first + r) * p.stride, p.head_size, s.queries + r * steps * kBf16Step);
  for (std::size_t key = begin; key < end; key += kBf16Panel)
    Product::multiply(s.queries, steps * kBf16Step * sizeof(Bf16), rows, steps,
                      s.keys + key * steps * kBf16Step, s.scores + key - begin, count);
  float inverses[Product::rows];
  for (std::size_t r = 0; r < rows; ++r) {
    const std::size_t own = first + r;
    const std::size_t from = own - smaller(own, p.before);
    const std::size_t to = smaller(p.tokens, own + p.after + 1);
    inverses[r] = 1 / softmax_row(s.scores + r * count, from < begin ? 0 : from - begin, to - begin,
                                  count, scale, s.shares + r * count);
  }
  const std::size_t all_steps = whole_panels(p.tokens) / kBf16Step;
  for (std::size_t column = 0; column < p.head_size; column += kBf16Panel) {
    Product::multiply(s.shares, count * sizeof(Bf16), rows, count / kBf16Step,
                      s.values + (column * all_steps + begin) * kBf16Step, s.sums, kBf16Panel);
    for (std::size_t r = 0; r < rows; ++r)
      store_scaled(s.sums + r * kBf16Panel, _mm512_set1_ps(inverses[r]), p.head_size - column,
                   p.out + (first + r) * p.out_stride + column);
  }
}

template <class Product>
void bf16_attention(const AttentionPieceOf<Bf16>& p) {
  const Bf16Scratch<Product> scratch(p);
  const float scale = 1 / __builtin_sqrtf(static_cast<float>(p.head_size));
  const auto first_key = [&p](std::size_t query) {
    return (query - smaller(query, p.before)) / kBf16Panel * kBf16Panel;
  };
  const auto end_of_keys = [&p](std::size_t last_query) {
    return whole_panels(smaller(p.tokens, last_query + p.after));
  };
  pack_bf16_keys(p, first_key(p.first_query), end_of_keys(p.last_query), scratch);
  pack_bf16_values(p, first_key(p.first_query), end_of_keys(p.last_query), scratch);
  [[maybe_unused]] const Product product;
  for (std::size_t query = p.first_query; query < p.last_query; query += Product::rows) {
    const std::size_t rows = smaller(Product::rows, p.last_query - query);
    attend_rows(p, scratch, query, rows, first_key(query), end_of_keys(query + rows), scale);
  }
}

template <class Product>
constexpr StateKernels kBf16States = {.widen = widen<Product>,
                                      .narrow = narrow<Product>,
                                      .attention_scratch = bf16_attention_scratch<Product>,
                                      .attention = bf16_attention<Product>};

}  // namespace sheaf::kernels::cpu
