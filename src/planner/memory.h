#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/spec/parameters.h"
#include "model/spec/product_dtype.h"
#include "model/spec/spec.h"
#include "planner/dtype.h"

// What a model takes of a GPU's memory, known from its files' headers alone.
namespace sheaf::planner {

struct ModelFacts {
  std::string name;
  model::ModelSpec spec;
  model::ParameterCount parameters;
};

// What it is to run with.
struct Load {
  Dtype dtype = Dtype::bfloat16;
  std::uint32_t batch_tokens = 0;    // of the largest batch; kBatchTokens where nothing is said
  std::uint32_t max_length = 0;      // of a text; 0: the model's
  model::Fp8Layers fp8_layers = {};  // of fp8: in which of its layers; nothing: in all
  std::uint32_t streams = 1;         // batches that a replica computes at once
};
// "bfloat16", "fp8:0,2-4".
std::string dtype_text(const Load& load);
// As many as sheaf-replica takes for granted.
constexpr std::uint32_t kBatchTokens = 16384;

// Assumed, not measured: no card was at hand. Whoever prints a sum prints these with it.
//
// A process that uses CUDA holds its context, the code of the libraries' kernels and the graphs of
// its own: what nvidia-smi shows of processes that have done no more than a product.
constexpr std::uint64_t kContextBytes = 500ull << 20;
// cuBLAS recommends 32 MiB a stream from Hopper on and 4 MiB before it (its manual on
// cublasSetWorkspace); a replica has two streams. The larger is taken for all cards.
constexpr std::uint64_t kStreamWorkspaceBytes = 32ull << 20;
constexpr std::uint64_t kWorkspaceBytes = 2 * kStreamWorkspaceBytes;

// "8.21 GiB": the one unit of what is said of cards, with the digits by which slices differ.
std::string gib_text(std::uint64_t bytes);

// Of the numbers in matrices, those that a load in fp8 keeps in it: of feed-forward parts, in the
// layers that it names. The others are bfloat16.
double fp8_share(const ModelFacts& model, const Load& load);

// What the model's matrices take, without tables.
std::uint64_t products_bytes(const ModelFacts& model, const Load& load);

struct Memory {
  std::uint64_t weights_bytes = 0;      // once a card or slice, however many replicas
  std::uint64_t activations_bytes = 0;  // this and the rest: each replica
  std::uint64_t kv_cache_bytes = 0;     // 0: texts are read once, nothing is generated
  std::uint64_t context_bytes = kContextBytes;
  std::uint64_t workspace_bytes = kWorkspaceBytes;

  std::uint64_t replica_bytes() const {
    return activations_bytes + kv_cache_bytes + context_bytes + workspace_bytes;
  }
  std::uint64_t total_bytes() const { return weights_bytes + replica_bytes(); }
};

// Of a replica of one rank. Attention keeps no matrix of scores. Each stream beyond the first takes
// activations and a workspace of its own, and nothing else.
Memory memory_of(const ModelFacts& model, const Load& load);

// Whether the middle of a layer is three times as wide as the inner size: the families that always
// gate do not say so in their spec.
bool is_gated(const model::ModelSpec& spec);

// What a token of a conversation would hold in the KV cache if the model generated: every decoder
// could, none of those served does. 0 of others.
std::uint64_t kv_bytes_per_token(const ModelFacts& model, Dtype dtype);

// One of the ranks that a replica consists of where no single card holds it. Such a replica has one
// stream, whatever the load says.
struct Rank {
  std::uint32_t first_layer = 0;
  std::uint32_t layers = 0;
  std::uint32_t heads = 0;  // of each of these layers
  Memory memory;
};

// All have the tables, and every layer with a part of its heads and inner numbers. Nothing where
// heads or inner numbers cannot be split evenly among `ranks`; heads of keys and values are held
// more than once where there are fewer of them.
std::vector<Rank> tensor_parallel(const ModelFacts& model, const Load& load, std::uint32_t ranks);

// Each has whole layers, so many that the fullest is no fuller than it has to be
// (model/spec/device_map.h); the first has the tables too. Nothing where there are fewer layers
// than ranks.
std::vector<Rank> pipeline(const ModelFacts& model, const Load& load, std::uint32_t ranks);

}  // namespace sheaf::planner
