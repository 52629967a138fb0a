#include "planner/memory.h"

#include <fmt/format.h>

#include <algorithm>

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

std::uint64_t table_bytes(const ModelFacts& model, Dtype dtype) {
  return model.parameters.tables * number_bytes(dtype);
}

// Of so many of the model's numbers in matrices.
std::uint64_t products_bytes(const ModelFacts& model, Dtype dtype, std::uint64_t numbers) {
  if (dtype != Dtype::fp8) return product_bytes(dtype, numbers);
  const auto fp8 = static_cast<std::uint64_t>(static_cast<double>(numbers) * fp8_share(model));
  return product_bytes(Dtype::fp8, fp8) + product_bytes(Dtype::bfloat16, numbers - fp8);
}

// Norms and biases stay float32: they are few.
std::uint64_t layer_bytes(const ModelFacts& model, Dtype dtype) {
  return products_bytes(model, dtype, model.parameters.products) +
         model.parameters.vectors * sizeof(float);
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

double fp8_share(const ModelFacts& model) {
  const model::ModelSpec& spec = model.spec;
  const double one = (is_gated(spec) ? 3.0 : 2.0) * spec.hidden_size * spec.intermediate_size;
  double numbers = 0;
  for (std::uint32_t layer = 0; layer < spec.layers; ++layer)
    numbers += spec.has_experts(layer)
                   ? 2.0 * spec.hidden_size * spec.intermediate_size * spec.experts
                   : one;
  return std::min(1.0, numbers / static_cast<double>(model.parameters.products));
}

Memory memory_of(const ModelFacts& model, const Load& load) {
  Memory memory;
  memory.weights_bytes = table_bytes(model, load.dtype) + layer_bytes(model, load.dtype);
  memory.activations_bytes = activations_of(model, load, 1);
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
  const std::uint64_t key_value_numbers =
      2ull * spec.layers * spec.kv_heads * spec.head_size * spec.hidden_size;
  const std::uint64_t products =
      (model.parameters.products + (copies - 1) * key_value_numbers + ranks - 1) / ranks;
  Rank rank{.first_layer = 0, .layers = spec.layers, .heads = spec.heads / ranks, .memory = {}};
  rank.memory.weights_bytes = products_bytes(model, load.dtype, products) +
                              table_bytes(model, load.dtype) / ranks +
                              model.parameters.vectors * sizeof(float);
  rank.memory.activations_bytes = activations_of(model, load, ranks);
  return std::vector<Rank>(ranks, rank);
}

std::vector<Rank> pipeline(const ModelFacts& model, const Load& load, std::uint32_t ranks) {
  const std::uint32_t layers = model.spec.layers;
  if (ranks == 0 || layers < ranks) return {};
  const double tables = static_cast<double>(table_bytes(model, load.dtype));
  const double each = static_cast<double>(layer_bytes(model, load.dtype)) / layers;
  std::vector<Rank> stages;
  std::uint32_t taken = 0;
  for (std::uint32_t i = 0; i < ranks; ++i) {
    const std::uint32_t after = ranks - i - 1;  // ranks that need a layer yet
    const double before = i == 0 ? tables : 0;
    const double share = (before + (layers - taken) * each) / (after + 1);
    const auto wanted = static_cast<std::uint32_t>(std::max(0.0, (share - before) / each + 0.5));
    const std::uint32_t count =
        after == 0 ? layers - taken : std::clamp(wanted, 1u, layers - taken - after);
    Rank stage{.first_layer = taken, .layers = count, .heads = model.spec.heads, .memory = {}};
    stage.memory.weights_bytes = static_cast<std::uint64_t>(before + count * each);
    stage.memory.activations_bytes = activations_of(model, load, 1);
    stages.push_back(stage);
    taken += count;
  }
  return stages;
}

}  // namespace sheaf::planner
