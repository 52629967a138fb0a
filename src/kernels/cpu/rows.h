#pragma once

#include "kernels/cpu/kernels.h"
#include "kernels/cpu/linear.h"
#include "kernels/cpu/simd.h"

// Operations that walk along rows: bound by memory, not by arithmetic.
namespace sheaf::kernels::cpu {

template <class Arch>
void norm_row(const float* a, const float* b, const float* c, const Norm& norm, std::size_t columns,
              float* out) {
  using Floats = typename Arch::Floats;
  const std::size_t whole = columns - columns % Arch::width;
  Floats sums = {};
  for (std::size_t i = 0; i < whole; i += Arch::width) {
    Floats x = Arch::load(a + i);
    if (b != nullptr) x += Arch::load(b + i);
    if (c != nullptr) x += Arch::load(c + i);
    Arch::store(out + i, x);
    sums += x;
  }
  float sum = Arch::sum(sums);
  for (std::size_t i = whole; i < columns; ++i) {
    out[i] = a[i] + (b != nullptr ? b[i] : 0) + (c != nullptr ? c[i] : 0);
    sum += out[i];
  }

  if (norm.scale == nullptr) return;

  const float mean = norm.centered ? sum / static_cast<float>(columns) : 0;
  Floats squares = {};
  for (std::size_t i = 0; i < whole; i += Arch::width) {
    const Floats d = Arch::load(out + i) - mean;
    squares += d * d;
  }
  float square = Arch::sum(squares);
  for (std::size_t i = whole; i < columns; ++i) square += (out[i] - mean) * (out[i] - mean);

  const float variance = square / static_cast<float>(columns);
  const float inverse = 1 / __builtin_sqrtf(variance + norm.epsilon);
  for (std::size_t i = 0; i < whole; i += Arch::width) {
    Floats x = (Arch::load(out + i) - mean) * inverse * Arch::load(norm.scale + i);
    if (norm.shift != nullptr) x += Arch::load(norm.shift + i);
    Arch::store(out + i, x);
  }
  for (std::size_t i = whole; i < columns; ++i)
    out[i] =
        (out[i] - mean) * inverse * norm.scale[i] + (norm.shift != nullptr ? norm.shift[i] : 0);
}

template <class Arch>
void turn(float* head, const float* cosines, const float* sines, std::size_t pairs) {
  using Floats = typename Arch::Floats;
  std::size_t i = 0;
  for (; i + Arch::width <= pairs; i += Arch::width) {
    const Floats a = Arch::load(head + i);
    const Floats b = Arch::load(head + pairs + i);
    const Floats cosine = Arch::load(cosines + i);
    const Floats sine = Arch::load(sines + i);
    Arch::store(head + i, a * cosine - b * sine);
    Arch::store(head + pairs + i, b * cosine + a * sine);
  }
  for (; i < pairs; ++i) {
    const float a = head[i];
    const float b = head[pairs + i];
    head[i] = a * cosines[i] - b * sines[i];
    head[pairs + i] = b * cosines[i] + a * sines[i];
  }
}

template <class Arch>
void gate(const float* a, const float* b, Activation activation, std::size_t columns, float* out) {
  std::size_t i = 0;
  for (; i + Arch::width <= columns; i += Arch::width)
    Arch::store(out + i, activate<Arch>(activation, Arch::load(a + i)) * Arch::load(b + i));
  const auto left = static_cast<std::ptrdiff_t>(columns - i);
  const auto x = activate<Arch>(activation, Arch::load_first(a + i, left));
  Arch::store_first(out + i, x * Arch::load_first(b + i, left), left);
}

SHEAF_INLINE float to_float(float x) { return x; }
SHEAF_INLINE float to_float(Bf16 x) {
  const std::uint32_t bits = std::uint32_t{x} << 16;
  float value;
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
}

// Adds `weight(row)` * row for all rows, then multiplies by `scale`.
template <class Arch, class State, class Weight>
SHEAF_INLINE void sum_rows(const State* x, std::size_t stride, std::size_t rows,
                           std::size_t columns, Weight weight, float scale, float* out) {
  for (std::size_t i = 0; i < columns; ++i) out[i] = 0;
  for (std::size_t t = 0; t < rows; ++t) {
    const float w = weight(t);
    for (std::size_t i = 0; i < columns; ++i) out[i] += to_float(x[t * stride + i]) * w;
  }
  for (std::size_t i = 0; i < columns; ++i) out[i] *= scale;
}

template <class Arch, class State>
SHEAF_INLINE void largest_of_rows(const State* x, std::size_t stride, std::size_t rows,
                                  std::size_t columns, float* out) {
  for (std::size_t i = 0; i < columns; ++i) out[i] = to_float(x[i]);
  for (std::size_t t = 1; t < rows; ++t)
    for (std::size_t i = 0; i < columns; ++i) {
      const float value = to_float(x[t * stride + i]);
      out[i] = value > out[i] || value != value ? value : out[i];  // what is no number stays
    }
}

template <class Arch, class State>
void reduce(Reduction reduction, const State* x, std::size_t stride, std::size_t rows,
            std::size_t columns, std::size_t place, float* out) {
  const auto n = static_cast<float>(rows);
  const auto one = [](std::size_t) { return 1.0f; };
  const auto rank = [place](std::size_t t) { return static_cast<float>(place + t + 1); };
  switch (reduction) {
    case Reduction::cls:
      return sum_rows<Arch>(x, stride, 1, columns, one, 1, out);
    case Reduction::mean:
      return sum_rows<Arch>(x, stride, rows, columns, one, 1 / n, out);
    case Reduction::max:
      return largest_of_rows<Arch>(x, stride, rows, columns, out);
    case Reduction::mean_sqrt_len:
      return sum_rows<Arch>(x, stride, rows, columns, one, 1 / __builtin_sqrtf(n), out);
    case Reduction::weighted_mean:
      return sum_rows<Arch>(x, stride, rows, columns, rank,
                            2 / (n * (n + 1 + 2 * static_cast<float>(place))), out);
    case Reduction::last_token:
      return sum_rows<Arch>(x + (rows - 1) * stride, stride, 1, columns, one, 1, out);
  }
}

SHEAF_INLINE float word_weight(float logit, std::uint32_t logs) {
  if (logit <= 0) return 0;
  for (std::uint32_t i = 0; i < logs; ++i) logit = __builtin_log1pf(logit);
  return logit;
}

template <class Arch>
void weigh_words(const float* logits, std::size_t stride, std::size_t rows, std::size_t columns,
                 WordWeights how, bool first, bool last, float* out) {
  if (how.sum) {
    for (std::size_t i = 0; first && i < columns; ++i) out[i] = 0;
    for (std::size_t t = 0; t < rows; ++t)
      for (std::size_t i = 0; i < columns; ++i)
        out[i] += word_weight(logits[t * stride + i], how.logs);
    return;
  }
  // The weight grows with the logit: it is enough to take it of the largest.
  for (std::size_t i = 0; first && i < columns; ++i) out[i] = logits[i];
  for (std::size_t t = first ? 1 : 0; t < rows; ++t)
    for (std::size_t i = 0; i < columns; ++i) {
      const float value = logits[t * stride + i];
      out[i] = value > out[i] || value != value ? value : out[i];
    }
  for (std::size_t i = 0; last && i < columns; ++i) out[i] = word_weight(out[i], how.logs);
}

}  // namespace sheaf::kernels::cpu
