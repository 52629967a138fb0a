#include "planner/memory.h"

#include <fmt/format.h>

#include <algorithm>

#include "model/spec/device_map.h"

namespace sheaf::planner {
namespace {

// Numbers of a token that are alive at once. States, what attention adds to them, and their norm
// are there all the time; beside them either queries, keys, values and context, or the wide middle.
struct TokenWidths {
  std::uint64_t lasting = 0;
  std::uint64_t attention = 0;
  std::uint64_t middle = 0;

  explicit TokenWidths(const model::ModelSpec& spec) {
    lasting = 3ull * spec.hidden_size;
    const std::uint64_t query_heads = spec.heads, key_heads = spec.kv_heads;
    attention = (2 * query_heads + 2 * key_heads) * spec.head_size;
    middle = std::uint64_t{spec.intermediate_size} * (is_gated(spec) ? 3 : 1);
    if (spec.experts > 0) middle *= spec.experts_chosen;
  }
};

std::uint64_t text_length(const ModelFacts& model, const Load& load) {
  const std::uint32_t longest = model.spec.max_length;
  const std::uint32_t length = load.max_length > 0 ? std::min(load.max_length, longest) : longest;
  return std::min(std::max(length, 1u), std::max(load.batch_tokens, 1u));
}

// Ids, positions and lengths come as 32-bit numbers; a row of floats a text goes back. A sparse
// head weighs a block of tokens with every word at a time.
std::uint64_t in_and_out_bytes(const ModelFacts& model, const Load& load) {
  constexpr std::uint64_t kIntsPerToken = 3, kSparseBlock = 256;
  const std::uint64_t tokens = load.batch_tokens;
  const std::uint64_t texts = (tokens + text_length(model, load) - 1) / text_length(model, load);
  const std::uint64_t width = model.spec.width_of(model.spec.main_output());
  std::uint64_t bytes = tokens * kIntsPerToken * 4 + texts * width * sizeof(float);
  if (model.spec.is_splade())
    bytes += std::min(tokens, kSparseBlock) * model.spec.vocab_size * number_bytes(load.dtype);
  return bytes;
}

// Products of fewer bytes need their inputs once more, in that dtype.
std::uint64_t activations_of(const ModelFacts& model, const Load& load, std::uint32_t ranks) {
  const TokenWidths widths(model.spec);
  const std::uint64_t widest = std::max(widths.attention, widths.middle) / ranks;
  std::uint64_t per_token = (widths.lasting + widest) * number_bytes(load.dtype);
  if (load.dtype == Dtype::int8 || load.dtype == Dtype::fp8)
    per_token += std::max<std::uint64_t>(model.spec.hidden_size, widths.middle / ranks);
  return load.batch_tokens * per_token + in_and_out_bytes(model, load);
}

// What is looked up is packed as float32, whatever products are computed in. Words that SPLADE
// multiplies by too are packed for that product alone, which no dtype computes in fp8.
std::uint64_t table_bytes(const ModelFacts& model, Dtype dtype) {
  const model::ModelSpec& spec = model.spec;
  const bool multiplied = spec.is_splade() && spec.word_head.decoder.empty();
  const std::uint64_t words =
      multiplied
          ? std::min(std::uint64_t{spec.vocab_size} * spec.hidden_size, model.parameters.tables)
          : 0;
  const std::uint64_t blocks = spec.vocab_size * model::int8_blocks(spec.hidden_size);
  const Dtype of_words = dtype == Dtype::fp8 ? Dtype::bfloat16 : dtype;
  return (model.parameters.tables - words) * sizeof(float) +
         (words > 0 ? product_bytes(of_words, words, blocks) : 0);
}

// Of so many of the model's numbers in matrices, and blocks of int8.
std::uint64_t part_bytes(const ModelFacts& model, const Load& load, std::uint64_t numbers,
                         std::uint64_t blocks) {
  if (load.dtype != Dtype::fp8) return product_bytes(load.dtype, numbers, blocks);
  const auto fp8 =
      static_cast<std::uint64_t>(static_cast<double>(numbers) * fp8_share(model, load));
  return product_bytes(Dtype::fp8, fp8, 0) + product_bytes(Dtype::bfloat16, numbers - fp8, 0);
}

// Norms and biases stay float32: they are few.
std::uint64_t layer_bytes(const ModelFacts& model, const Load& load) {
  return products_bytes(model, load) + model.parameters.vectors * sizeof(float);
}

// Each layer's, as if they were alike but for what those in fp8 spare.
std::vector<std::uint64_t> bytes_of_layers(const ModelFacts& model, const Load& load) {
  Load plain = load;
  if (load.dtype == Dtype::fp8) plain.dtype = Dtype::bfloat16;
  const std::uint64_t layers = model.spec.layers, all = layer_bytes(model, plain);
  const std::uint64_t spared = all - layer_bytes(model, load);
  const std::uint64_t in_fp8 =
      load.fp8_layers ? std::max<std::uint64_t>(load.fp8_layers->size(), 1) : layers;
  std::vector<std::uint64_t> bytes;
  for (std::uint32_t i = 0; i < layers; ++i) {
    const std::uint64_t even = all * (i + 1) / layers - all * i / layers;
    const bool spares = model::is_in_fp8(load.fp8_layers, i);
    bytes.push_back(even - (spares ? std::min(even, spared / in_fp8) : 0));
  }
  return bytes;
}

}  // namespace

std::string gib_text(std::uint64_t bytes) {
  return fmt::format("{:.2f} GiB", static_cast<double>(bytes) / (1 << 30));
}

bool is_gated(const model::ModelSpec& spec) {
  using enum model::Architecture;
  return spec.gated || spec.architecture == decoder || spec.architecture == gemma3 ||
         spec.architecture == modernbert;
}

std::string dtype_text(const Load& load) {
  return model::text_of({std::string(name_of(load.dtype)), load.fp8_layers});
}

double fp8_share(const ModelFacts& model, const Load& load) {
  const model::ModelSpec& spec = model.spec;
  const double one = (is_gated(spec) ? 3.0 : 2.0) * spec.hidden_size * spec.intermediate_size;
  double numbers = 0;
  for (std::uint32_t layer = 0; layer < spec.layers; ++layer) {
    if (!model::is_in_fp8(load.fp8_layers, layer)) continue;
    numbers += spec.has_experts(layer)
                   ? 2.0 * spec.hidden_size * spec.intermediate_size * spec.experts
                   : one;
  }
  return std::min(1.0, numbers / static_cast<double>(model.parameters.products));
}

std::uint64_t products_bytes(const ModelFacts& model, const Load& load) {
  return part_bytes(model, load, model.parameters.products, model.parameters.blocks);
}

Memory memory_of(const ModelFacts& model, const Load& load) {
  Memory memory;
  memory.weights_bytes = table_bytes(model, load.dtype) + layer_bytes(model, load);
  memory.activations_bytes = load.streams * activations_of(model, load, 1);
  memory.workspace_bytes += (load.streams - 1) * kStreamWorkspaceBytes;
  return memory;
}

std::uint64_t kv_bytes_per_token(const ModelFacts& model, Dtype dtype) {
  const model::ModelSpec& spec = model.spec;
  if (!spec.causal) return 0;
  return 2ull * spec.layers * spec.kv_heads * spec.head_size * number_bytes(dtype);
}

std::vector<Rank> tensor_parallel(const ModelFacts& model, const Load& load, std::uint32_t ranks) {
  const model::ModelSpec& spec = model.spec;
  const bool keys_split = spec.kv_heads % ranks == 0 || ranks % spec.kv_heads == 0;
  if (spec.heads % ranks != 0 || spec.intermediate_size % ranks != 0 || !keys_split) return {};
  // What keys and values take more where each of their heads is held by several ranks.
  const std::uint64_t copies = ranks > spec.kv_heads ? ranks / spec.kv_heads : 1;
  const std::uint64_t key_value_outputs = 2ull * spec.layers * spec.kv_heads * spec.head_size;
  const auto part_of = [&](std::uint64_t all, std::uint64_t each) {
    return (all + (copies - 1) * key_value_outputs * each + ranks - 1) / ranks;
  };
  const std::uint64_t products = part_of(model.parameters.products, spec.hidden_size);
  const std::uint64_t blocks =
      part_of(model.parameters.blocks, model::int8_blocks(spec.hidden_size));
  Rank rank{.first_layer = 0, .layers = spec.layers, .heads = spec.heads / ranks, .memory = {}};
  rank.memory.weights_bytes = part_bytes(model, load, products, blocks) +
                              table_bytes(model, load.dtype) +
                              model.parameters.vectors * sizeof(float);
  rank.memory.activations_bytes = activations_of(model, load, ranks);
  return std::vector<Rank>(ranks, rank);
}

std::vector<Rank> pipeline(const ModelFacts& model, const Load& load, std::uint32_t ranks) {
  const std::uint32_t layers = model.spec.layers;
  if (ranks == 0 || layers < ranks) return {};
  model::PartBytes parts;
  parts.words = table_bytes(model, load.dtype);
  parts.layers = bytes_of_layers(model, load);
  std::vector<Rank> stages;
  const std::vector<std::uint64_t> no_room(ranks, 1);  // so that none is fuller than it has to be
  for (const model::Stage& stage : model::divide_layers(parts, no_room)) {
    Rank rank{.first_layer = stage.first_layer,
              .layers = static_cast<std::uint32_t>(model::layers_of(model.spec, stage).size()),
              .heads = model.spec.heads,
              .memory = {}};
    rank.memory.weights_bytes = parts.of(stage);
    rank.memory.activations_bytes = activations_of(model, load, 1);
    stages.push_back(rank);
  }
  return stages;
}

}  // namespace sheaf::planner
