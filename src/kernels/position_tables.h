#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "kernels/ops.h"
#include "tensor/buffer.h"

// For tests alone.
namespace sheaf::kernels {

// RelativePositions::rows: distances up to `single` have rows of their own, those beyond share more
// and more; `count` rows.
inline std::vector<std::int32_t> rows_by_distance(int reach, int single, int count) {
  std::vector<std::int32_t> rows;
  for (int distance = -reach; distance <= reach; ++distance) {
    const int far = std::max(std::abs(distance) - single, 0);
    const int bucket = std::min(std::abs(distance), single) + static_cast<int>(std::sqrt(far));
    rows.push_back(std::clamp((distance < 0 ? -bucket : bucket) + count / 2, 0, count - 1));
  }
  return rows;
}

// A table [count, heads * head_size] of each head, as one backend wants them.
class PackedTable {
 public:
  PackedTable(const Backend& backend, MatrixView rows, std::size_t heads) {
    const std::size_t size = rows.columns / heads;
    const std::size_t floats = backend.packed_table_floats(size, rows.rows);
    float* packed = buffer_.reserve(heads * floats);
    for (std::size_t head = 0; head < heads; ++head)
      backend.pack_table(rows.slice_columns(head * size, size), packed + head * floats);
  }
  const float* data() { return buffer_.reserve(0); }

 private:
  tensor::Buffer buffer_;
};

}  // namespace sheaf::kernels
