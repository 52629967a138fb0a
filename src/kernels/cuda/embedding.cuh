#pragma once

#include "kernels/cuda/norm.cuh"

namespace sheaf::kernels::cuda {

// Where a token's row of each table is; settled on the host, which has the ids.
struct TokenPlace {
  std::uint32_t word = 0;
  std::uint32_t position = 0;
  std::uint32_t type = 0;
};

// Words in W: float, or the dtype that weights are packed in.
template <class W, class E>
struct EmbeddingTask {
  Rows<const W> words;
  Rows<const float> positions, types;
  const TokenPlace* places = nullptr;  // [tokens]
  unsigned tokens = 0;
  NormParameters norm;
  Rows<E> out;
};

template <unsigned kCount, class W, class E>
__global__ void __launch_bounds__(kRowsPerBlock* kWarpSize) embed_tokens(EmbeddingTask<W, E> task) {
  const unsigned token = row_of_warp();
  if (token >= task.tokens) return;
  const TokenPlace place = task.places[token];
  const auto read = [&](unsigned i, float(&x)[kCount]) {
    load<kCount>(task.words.row(place.word) + i, x);
    if (task.positions.data != nullptr) add<kCount>(task.positions.row(place.position) + i, x);
    if (task.types.data != nullptr) add<kCount>(task.types.row(place.type) + i, x);
  };
  const auto write = [&](unsigned i, float(&x)[kCount]) {
    store<kCount>(x, task.out.row(token) + i);
  };
  if (task.norm.scale != nullptr) return normalize_row<kCount>(task.norm, read, write);
  for (unsigned i = lane_of_thread() * kCount; i < task.norm.columns; i += kWarpSize * kCount) {
    float x[kCount];
    read(i, x);
    write(i, x);
  }
}

}  // namespace sheaf::kernels::cuda
