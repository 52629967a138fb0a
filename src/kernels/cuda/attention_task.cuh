#pragma once

#include "kernels/cuda/rows.cuh"

namespace sheaf::kernels::cuda {

// Neighbouring queries of one text; what a block, or a few, work on. How many they are at most is
// the batch's: as many as the longest text has, in these bounds, a power of two.
constexpr std::uint32_t kTileQueriesLeast = 32;
constexpr std::uint32_t kTileQueriesMost = 128;
struct QueryTile {
  std::uint32_t first_row = 0;  // of the text, in the batch
  std::uint32_t tokens = 0;     // of the text; 0: the tile is of none
  std::uint32_t first_query = 0;
};

// Of states in E.
template <class E>
struct AttentionTask {
  Rows<const E> qkv;     // [tokens, (heads + 2 * kv_heads) * head_size]
  Rows<E> out;           // [tokens, heads * head_size]
  bool aligned = false;  // whether rows of qkv lie at multiples of 16 bytes
  const QueryTile* tiles = nullptr;
  unsigned heads = 0;
  unsigned kv_heads = 0;
  unsigned head_size = 0;
  // How many keys before and behind its own a query sees: beyond any text's length, all.
  std::uint32_t before = 0;
  std::uint32_t after = 0;
  float scale = 0;              // of scores
  const float* bias = nullptr;  // [heads, 2 * bias_reach + 1]; null: none
  std::size_t bias_reach = 0;
  // ops.h, RelativePositions; a table is [heads, table_floats]. Null: none.
  const std::int32_t* position_rows = nullptr;
  std::size_t position_reach = 0;
  const float* position_keys = nullptr;
  const float* position_queries = nullptr;
  std::size_t table_floats = 0;

  __device__ unsigned kv_head(unsigned head) const { return head / (heads / kv_heads); }
  __device__ const float* bias_of(unsigned head) const {
    return bias == nullptr ? nullptr : bias + head * (2 * bias_reach + 1) + bias_reach;
  }
  // Keys that any of the queries [first, last) of a text sees.
  __device__ std::uint32_t first_key(std::uint32_t first) const {
    return first - smaller(first, before);
  }
  __device__ std::uint32_t last_key(std::uint32_t last, std::uint32_t tokens) const {
    return after < tokens - last ? last + after : tokens;
  }
  __device__ bool sees(std::uint32_t query, std::uint32_t key, std::uint32_t tokens) const {
    return query < tokens && key < tokens &&
           (key <= query ? query - key <= before : key - query <= after);
  }
};

}  // namespace sheaf::kernels::cuda
