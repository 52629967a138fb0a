#pragma once

#include "kernels/cuda/rows.cuh"

namespace sheaf::kernels::cuda {

// Which tile of a result a block has. Blocks that run at the same time are neighbours in both
// directions, so that what they read is mostly in the card's cache.
template <unsigned kTileRows, unsigned kTileColumns>
struct TilePlace {
  unsigned row, column;
  __device__ TilePlace(unsigned rows, unsigned columns) {
    constexpr unsigned kTogether = 16;  // blocks above each other
    const unsigned down = (rows + kTileRows - 1) / kTileRows;
    const unsigned across = (columns + kTileColumns - 1) / kTileColumns;
    const unsigned first = blockIdx.x / (kTogether * across) * kTogether;
    const unsigned rest = blockIdx.x % (kTogether * across);
    const unsigned together = smaller(down - first, kTogether);
    row = (first + rest % together) * kTileRows;
    column = rest / together * kTileColumns;
  }
};

}  // namespace sheaf::kernels::cuda
