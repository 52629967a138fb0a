#pragma once

#include "kernels/cpu/kernels.h"
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

  const float mean = sum / static_cast<float>(columns);
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
    const Floats x = (Arch::load(out + i) - mean) * inverse;
    Arch::store(out + i, x * Arch::load(norm.scale + i) + Arch::load(norm.shift + i));
  }
  for (std::size_t i = whole; i < columns; ++i)
    out[i] = (out[i] - mean) * inverse * norm.scale[i] + norm.shift[i];
}

// Adds `weight(row)` * row for all rows, then multiplies by `scale`.
template <class Arch, class Weight>
SHEAF_INLINE void sum_rows(const float* x, std::size_t stride, std::size_t rows,
                           std::size_t columns, Weight weight, float scale, float* out) {
  for (std::size_t i = 0; i < columns; ++i) out[i] = 0;
  for (std::size_t t = 0; t < rows; ++t) {
    const float w = weight(t);
    for (std::size_t i = 0; i < columns; ++i) out[i] += x[t * stride + i] * w;
  }
  for (std::size_t i = 0; i < columns; ++i) out[i] *= scale;
}

template <class Arch>
SHEAF_INLINE void largest_of_rows(const float* x, std::size_t stride, std::size_t rows,
                                  std::size_t columns, float* out) {
  for (std::size_t i = 0; i < columns; ++i) out[i] = x[i];
  for (std::size_t t = 1; t < rows; ++t)
    for (std::size_t i = 0; i < columns; ++i) {
      const float value = x[t * stride + i];
      out[i] = value > out[i] ? value : out[i];
    }
}

template <class Arch>
void reduce(Reduction reduction, const float* x, std::size_t stride, std::size_t rows,
            std::size_t columns, float* out) {
  const auto n = static_cast<float>(rows);
  const auto one = [](std::size_t) { return 1.0f; };
  const auto rank = [](std::size_t t) { return static_cast<float>(t + 1); };
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
      return sum_rows<Arch>(x, stride, rows, columns, rank, 2 / (n * (n + 1)), out);
    case Reduction::last_token:
      return sum_rows<Arch>(x + (rows - 1) * stride, stride, 1, columns, one, 1, out);
  }
}

}  // namespace sheaf::kernels::cpu
