#pragma once

#include <algorithm>
#include <cstddef>
#include <type_traits>

#include "kernels/cuda/target.cuh"
#include "kernels/ops.h"

namespace sheaf::kernels::cuda {

// A head's part of a table of positions (ops.h, RelativePositions) as it lies in a packed file and
// on a card, for products in T. Where the matrix unit multiplies by it: in T, in blocks of 16 rows,
// the last filled up with zeros, [blocks, head_size / 16, lanes, 8]. A lane's eight elements are
// the pairs [group, 2 place], [group + 8, 2 place], [group, 2 place + 8] and [group + 8, 2 place +
// 8] of a block of [16, 16], which is operand a of a product, and in another order b (mma.cuh), so
// that a warp loads both as they lie. Elsewhere: float32, row by row.
template <class T>
class PositionTable {
 public:
  static constexpr unsigned kBlockRows = 16;

  static constexpr bool is_operand(std::size_t head_size) {
    return !std::is_same_v<T, float> && (head_size == 32 || head_size == 64 || head_size == 128);
  }

  static std::size_t packed_floats(std::size_t head_size, std::size_t rows) {
    const std::size_t floats =
        is_operand(head_size) ? round_up(rows, kBlockRows) * head_size / 2 : rows * head_size;
    return round_up(floats, 16);
  }

  static void pack(MatrixView table, float* packed) {
    if (is_operand(table.columns)) return pack_operand(table, reinterpret_cast<T*>(packed));
    for (std::size_t i = 0; i < table.rows; ++i)
      std::copy_n(table.row(i), table.columns, packed + i * table.columns);
  }

 private:
  static constexpr std::size_t round_up(std::size_t n, std::size_t to) {
    return (n + to - 1) / to * to;
  }

  static void pack_operand(MatrixView table, T* packed) {
    for (std::size_t block = 0; block < round_up(table.rows, kBlockRows); block += kBlockRows)
      for (std::size_t step = 0; step < table.columns; step += 16)
        for (std::size_t lane = 0; lane < 32; ++lane)
          for (std::size_t i = 0; i < 8; ++i) {
            const std::size_t row = block + lane / 4 + i / 2 % 2 * 8;
            const std::size_t column = step + lane % 4 * 2 + i % 2 + i / 4 * 8;
            *packed++ = from_float<T>(row < table.rows ? table.row(row)[column] : 0);
          }
  }
};

}  // namespace sheaf::kernels::cuda
