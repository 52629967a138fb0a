#pragma once

#include "kernels/cpu/simd.h"

namespace sheaf::kernels::cpu {

// Shape of the register tile of an instruction set: `rows` x (`vectors` * width) sums stay in
// registers while k runs. An Arch type derives from this, one per source file, so that no two files
// share an instantiation.
template <int Width, int Rows, int Vectors>
struct TileShape : Simd<Width> {
  static constexpr int rows = Rows;
  static constexpr int vectors = Vectors;
  static constexpr std::size_t panel = static_cast<std::size_t>(Width) * Vectors;
};

// Of products in another dtype, whose outputs are rounded when they enter the next.
template <int Width, int Rows, int Vectors>
struct NearTileShape : TileShape<Width, Rows, Vectors> {
  using Floats = typename Simd<Width>::Floats;
  static SHEAF_INLINE Floats gelu(Floats x) { return Simd<Width>::gelu_near(x); }
};

template <class Arch, int R>
struct Sums {
  typename Arch::Floats at[R][Arch::vectors];
};

// R rows that are `stride` apart, all read at one place. Compilers keep a register for each row; of
// more than 8, where they run out of them and fetch some again at each step (12 rows: 0.95 of the
// speed), one register reaches three, by the stride and twice that.
template <class T, int R>
class RowPointers {
 public:
  SHEAF_INLINE RowPointers(const T* first, std::size_t stride) : stride_(stride) {
#pragma GCC unroll 8
    for (std::size_t i = 0; i < kGroups; ++i) groups_[i] = first + 3 * i * stride;
  }
  SHEAF_INLINE const T* at(std::size_t row) const {
    if constexpr (kFew)
      return groups_[0] + row * stride_ + place_;
    else
      return groups_[row / 3] + row % 3 * stride_;
  }
  SHEAF_INLINE void advance(std::size_t places) {
    if constexpr (kFew) {
      place_ += places;
    } else {
#pragma GCC unroll 8
      for (std::size_t i = 0; i < kGroups; ++i) {
        groups_[i] += places;
        asm("" : "+r"(groups_[i]));  // the compiler is not to see how they belong together
      }
    }
  }

 private:
  static constexpr bool kFew = R <= 8;
  static constexpr std::size_t kGroups = (R + 2) / 3;
  const T* groups_[kGroups];
  std::size_t stride_;
  std::size_t place_ = 0;
};

// Memory that the next tiles will need: `step` floats of it are fetched into the second-level cache
// at each k.
struct Ahead {
  const float* from;
  std::size_t step;
};

// sums[r][:] = sum over k of a[r * a_stride + k] * b[k * panel + :], k in [0, depth).
template <class Arch, int R>
SHEAF_INLINE void multiply(std::size_t depth, const float* a, std::size_t a_stride, const float* b,
                           Ahead ahead, Sums<Arch, R>& sums) {
  using Floats = typename Arch::Floats;
  Floats acc[R][Arch::vectors] = {};
  RowPointers<float, R> rows(a, a_stride);
  for (std::size_t k = 0; k < depth; ++k, rows.advance(1)) {
    __builtin_prefetch(ahead.from + k * ahead.step, 0, 2);
    Floats column[Arch::vectors];
#pragma GCC unroll 8
    for (int v = 0; v < Arch::vectors; ++v)
      column[v] = Arch::load(b + k * Arch::panel + static_cast<std::size_t>(v) * Arch::width);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const float x = *rows.at(static_cast<std::size_t>(r));
#pragma GCC unroll 8
      for (int v = 0; v < Arch::vectors; ++v) acc[r][v] += column[v] * x;
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < Arch::vectors; ++v) sums.at[r][v] = acc[r][v];
}

// Calls body.template operator()<R>(first) for groups of R <= Arch::rows rows that cover [0, rows),
// as even as can be: 7 rows are 4 + 3 rather than 6 + 1, since a tile of one row leaves most
// multipliers idle.
template <class Arch, int R, class Body>
SHEAF_INLINE void with_rows(std::size_t rows, std::size_t first, Body& body) {
  if constexpr (R >= 1) {
    if (rows == R) {
      body.template operator()<R>(first);
    } else {
      with_rows<Arch, R - 1>(rows, first, body);
    }
  }
}

template <class Arch, class Body>
SHEAF_INLINE void for_row_groups(std::size_t rows, Body body) {
  const std::size_t groups = (rows + Arch::rows - 1) / Arch::rows;
  for (std::size_t g = 0; g < groups; ++g) {
    const std::size_t first = rows * g / groups;
    with_rows<Arch, Arch::rows>(rows * (g + 1) / groups - first, first, body);
  }
}

}  // namespace sheaf::kernels::cpu
