#pragma once

#include <cstddef>

#include "kernels/ops.h"

namespace sheaf::model {

// Calls body(first, rows) for blocks that together are all rows. After attention tokens no longer
// meet: what is left of a layer runs block by block through the nearest cache.
template <class Body>
void for_row_blocks(const kernels::Backend& ops, std::size_t rows, Body body) {
  const std::size_t blocks = (rows + ops.preferred_rows() - 1) / ops.preferred_rows();
  for (std::size_t block = 0; block < blocks; ++block) {
    const std::size_t first = rows * block / blocks;
    body(first, rows * (block + 1) / blocks - first);
  }
}

}  // namespace sheaf::model
