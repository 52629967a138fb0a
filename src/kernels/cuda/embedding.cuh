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
template <class W>
struct EmbeddingTask {
  Rows<const W> words;
  Rows<const float> positions, types;
  const TokenPlace* places = nullptr;  // [tokens]
  NormTask norm;                       // of out, in place; without scale: none
};

template <class W>
__global__ void __launch_bounds__(kRowsPerBlock* kWarpSize) embed_tokens(EmbeddingTask<W> task) {
  const std::size_t token = row_of_warp();
  if (token >= task.norm.count) return;
  const TokenPlace place = task.places[token];
  const W* word = task.words.row(place.word);
  float* out = task.norm.out.row(token);
  for (unsigned i = lane_of_thread(); i < task.norm.columns; i += kWarpSize) {
    float value = to_float(word[i]);
    if (task.positions.data != nullptr) value += task.positions.row(place.position)[i];
    if (task.types.data != nullptr) value += task.types.row(place.type)[i];
    out[i] = value;
  }
  if (task.norm.scale != nullptr) normalize_row(task.norm, out, nullptr, out);
}

}  // namespace sheaf::kernels::cuda
