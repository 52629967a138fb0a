#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/cuda/attention_task.cuh"
#include "tensor/buffer.h"

namespace sheaf::kernels::cuda {

// What kernels have to know of where the texts of a batch lie, on the device. It is made when texts
// come that are not those of the call before: once for all layers of a model.
class TextLayout {
 public:
  // What kernels are launched by.
  struct Form {
    std::uint32_t tile_queries = 0;  // of a tile, at most
    // Somewhat more than there are, so that few numbers occur: those behind have no tokens.
    std::uint32_t tile_count = 0;
  };
  static Form form_of(std::span<const std::uint32_t> cu_seqlens);

  // The texts of the following calls; cu_seqlens [texts + 1], which need not begin at 0.
  void update(std::span<const std::uint32_t> cu_seqlens, tensor::Memory& memory);

  // The next update() writes it whatever it was before.
  void forget() { texts_.clear(); }

  const std::uint32_t* bounds() const { return bounds_; }  // [texts + 1]
  const std::uint32_t* places() const { return places_; }  // [rows]: of each in its text
  const QueryTile* tiles() const { return tiles_; }        // [tile_count()]
  unsigned tile_count() const { return form_.tile_count; }
  std::uint32_t tile_queries() const { return form_.tile_queries; }

 private:
  std::vector<std::uint32_t> texts_;  // that the rest was made of
  std::vector<std::uint32_t> host_;   // bounds, places and tiles, one behind the other
  tensor::Buffer memory_;             // the same, on the device
  const std::uint32_t* bounds_ = nullptr;
  const std::uint32_t* places_ = nullptr;
  const QueryTile* tiles_ = nullptr;
  Form form_;
};

}  // namespace sheaf::kernels::cuda
