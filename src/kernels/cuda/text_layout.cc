#include "kernels/cuda/text_layout.h"

#include <algorithm>
#include <bit>

namespace sheaf::kernels::cuda {

void TextLayout::update(std::span<const std::uint32_t> cu_seqlens, tensor::Memory& memory) {
  if (std::ranges::equal(cu_seqlens, texts_)) return;
  texts_.assign(cu_seqlens.begin(), cu_seqlens.end());
  host_ = texts_;
  longest_ = 0;
  tile_count_ = 0;
  // Rows are counted from 0, wherever the first text begins.
  host_.resize(texts_.size() + texts_.back());
  for (std::size_t text = 0; text + 1 < texts_.size(); ++text) {
    const std::uint32_t tokens = texts_[text + 1] - texts_[text];
    longest_ = std::max(longest_, tokens);
    for (std::uint32_t t = 0; t < tokens; ++t) host_[texts_.size() + texts_[text] + t] = t;
  }
  tile_queries_ = std::bit_ceil(std::clamp(longest_, kTileQueriesLeast, kTileQueriesMost));
  for (std::size_t text = 0; text + 1 < texts_.size(); ++text) {
    const std::uint32_t tokens = texts_[text + 1] - texts_[text];
    // The last first: where a query sees those before it, they take longest.
    const std::uint32_t tiles = (tokens + tile_queries_ - 1) / tile_queries_;
    for (std::uint32_t tile = tiles; tile > 0; --tile)
      host_.insert(host_.end(), {texts_[text], tokens, (tile - 1) * tile_queries_});
    tile_count_ += tiles;
  }
  const std::uint32_t* at = memory_.hold(std::span<const std::uint32_t>(host_), memory);
  if (at == nullptr) return texts_.clear();
  bounds_ = at;
  places_ = at + texts_.size();
  tiles_ = reinterpret_cast<const QueryTile*>(places_ + texts_.back());
}

}  // namespace sheaf::kernels::cuda
