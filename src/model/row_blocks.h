#pragma once

#include <algorithm>
#include <cstddef>

#include "kernels/ops.h"

namespace sheaf::model {

// Calls body(first, rows) for blocks that together are all rows of x. After attention tokens no
// longer meet: what is left of a layer runs block by block through the nearest cache.
template <class Body>
void for_row_blocks(const kernels::Backend& ops, kernels::TypedView x, Body body) {
  const std::size_t rows = x.rows;
  const std::size_t step = ops.row_step();
  const std::size_t preferred = ops.preferred_rows(x.columns);
  const std::size_t blocks = (rows + preferred - 1) / preferred;
  const auto begin = [=](std::size_t block) {
    const std::size_t even = rows * block / blocks;
    return std::min(rows, (even + step - 1) / step * step);
  };
  for (std::size_t block = 0; block < blocks; ++block)
    if (begin(block) < begin(block + 1)) body(begin(block), begin(block + 1) - begin(block));
}

}  // namespace sheaf::model
