#include "kernels/cuda/text_layout.h"

#include <algorithm>
#include <bit>

namespace sheaf::kernels::cuda {
namespace {

// Of a text.
std::uint32_t tiles_of(std::uint32_t tokens, std::uint32_t tile_queries) {
  return (tokens + tile_queries - 1) / tile_queries;
}

}  // namespace

TextLayout::Form TextLayout::form_of(std::span<const std::uint32_t> cu_seqlens) {
  std::uint32_t longest = 0;
  for (std::size_t text = 0; text + 1 < cu_seqlens.size(); ++text)
    longest = std::max(longest, cu_seqlens[text + 1] - cu_seqlens[text]);
  const std::uint32_t queries =
      std::bit_ceil(std::clamp(longest, kTileQueriesLeast, kTileQueriesMost));
  std::uint32_t count = 0;
  for (std::size_t text = 0; text + 1 < cu_seqlens.size(); ++text)
    count += tiles_of(cu_seqlens[text + 1] - cu_seqlens[text], queries);
  const std::uint32_t step = std::max(1u, std::bit_floor(count) / 8);
  return {queries, (count + step - 1) / step * step};
}

void TextLayout::update(std::span<const std::uint32_t> cu_seqlens, tensor::Memory& memory) {
  if (std::ranges::equal(cu_seqlens, texts_)) return;
  texts_.assign(cu_seqlens.begin(), cu_seqlens.end());
  form_ = form_of(cu_seqlens);
  host_ = texts_;
  // Rows are counted from 0, wherever the first text begins.
  host_.resize(texts_.size() + texts_.back());
  const std::size_t tiles_at = host_.size();
  for (std::size_t text = 0; text + 1 < texts_.size(); ++text) {
    const std::uint32_t tokens = texts_[text + 1] - texts_[text];
    for (std::uint32_t t = 0; t < tokens; ++t) host_[texts_.size() + texts_[text] + t] = t;
    // The last first: where a query sees those before it, they take longest.
    for (std::uint32_t tile = tiles_of(tokens, form_.tile_queries); tile > 0; --tile)
      host_.insert(host_.end(), {texts_[text], tokens, (tile - 1) * form_.tile_queries});
  }
  host_.resize(tiles_at + form_.tile_count * sizeof(QueryTile) / sizeof(std::uint32_t));
  const std::uint32_t* at = memory_.hold(std::span<const std::uint32_t>(host_), memory);
  if (at == nullptr) return texts_.clear();
  bounds_ = at;
  places_ = at + texts_.size();
  tiles_ = reinterpret_cast<const QueryTile*>(places_ + texts_.back());
}

}  // namespace sheaf::kernels::cuda
