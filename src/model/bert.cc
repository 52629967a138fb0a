#include "model/bert.h"

#include <fmt/core.h>

#include <string_view>

#include "model/distance.h"
#include "model/row_blocks.h"
#include "model/words.h"

namespace sheaf::model {

using kernels::Activation;
using tensor::TypedSpan;
using tensor::TypedView;

namespace {

struct LayerNames {
  std::string_view layer;  // then its index
  std::string_view query, key, value, attention_output, attention_norm, up, down, output_norm;
};

constexpr LayerNames kBert = {.layer = "encoder.layer.",
                              .query = "attention.self.query",
                              .key = "attention.self.key",
                              .value = "attention.self.value",
                              .attention_output = "attention.output.dense",
                              .attention_norm = "attention.output.LayerNorm",
                              .up = "intermediate.dense",
                              .down = "output.dense",
                              .output_norm = "output.LayerNorm"};
constexpr LayerNames kDeberta = {.layer = "encoder.layer.",
                                 .query = "attention.self.query_proj",
                                 .key = "attention.self.key_proj",
                                 .value = "attention.self.value_proj",
                                 .attention_output = "attention.output.dense",
                                 .attention_norm = "attention.output.LayerNorm",
                                 .up = "intermediate.dense",
                                 .down = "output.dense",
                                 .output_norm = "output.LayerNorm"};
constexpr LayerNames kDistilBert = {.layer = "transformer.layer.",
                                    .query = "attention.q_lin",
                                    .key = "attention.k_lin",
                                    .value = "attention.v_lin",
                                    .attention_output = "attention.out_lin",
                                    .attention_norm = "sa_layer_norm",
                                    .up = "ffn.lin1",
                                    .down = "ffn.lin2",
                                    .output_norm = "output_layer_norm"};
constexpr LayerNames kMpnet = {.layer = "encoder.layer.",
                               .query = "attention.attn.q",
                               .key = "attention.attn.k",
                               .value = "attention.attn.v",
                               .attention_output = "attention.attn.o",
                               .attention_norm = "attention.LayerNorm",
                               .up = "intermediate.dense",
                               .down = "output.dense",
                               .output_norm = "output.LayerNorm"};

const LayerNames& names_of(Architecture architecture) {
  switch (architecture) {
    case Architecture::deberta:
      return kDeberta;
    case Architecture::distilbert:
      return kDistilBert;
    case Architecture::mpnet:
      return kMpnet;
    default:
      return kBert;
  }
}

// Whose output a layer takes.
std::string norm_before(const ModelSpec& spec, std::uint32_t layer) {
  const LayerNames& names = names_of(spec.architecture);
  return layer == 0 ? "embeddings.LayerNorm"
                    : fmt::format("{}{}.{}", names.layer, layer - 1, names.output_norm);
}

}  // namespace

Bert::Bert(const ModelSpec& spec, WeightSource& weights)
    : hidden_(spec.hidden_size),
      intermediate_(spec.intermediate_size),
      attention_{.heads = weights.share_of(spec.heads),
                 .kv_heads = weights.share_of(spec.kv_heads),
                 .head_size = spec.head_size},
      epsilon_(spec.norm_epsilon) {
  const Stage stage = weights.shard().stage;
  if (weights.has_words())
    embedding_ = bind_embedding(spec, weights);
  else  // which another stage computes, and which tells here how large inputs are
    weights.norm(norm_before(spec, stage.first_layer), hidden_, epsilon_);
  if (spec.distance_buckets > 0) bind_distance_bias(spec, weights);
  if (spec.relative.reach > 0) bind_distance_rows(spec, weights);
  for (const std::uint32_t i : layers_of(spec, stage))
    if (weights.status().ok()) layers_.push_back(bind_layer(spec, weights, i));
}

kernels::Embedding Bert::bind_embedding(const ModelSpec& spec, WeightSource& weights) const {
  kernels::Embedding table;
  bind_words(spec, weights, table);
  if (spec.position_table) bind_positions(spec, weights, table);
  if (spec.type_vocab_size > 0)
    table.types = weights.table("embeddings.token_type_embeddings", spec.type_vocab_size, hidden_);
  table.norm = weights.norm("embeddings.LayerNorm", hidden_, epsilon_);
  return table;
}

void Bert::bind_distance_bias(const ModelSpec& spec, WeightSource& weights) {
  std::vector<float> copy;
  const tensor::MatrixView buckets = tensor::on_host(
      weights.table("encoder.relative_attention_bias", spec.distance_buckets, spec.heads),
      weights.memory(), copy);
  if (buckets.data == nullptr) return;
  const auto reach = static_cast<int>(spec.positions) - 1;
  for (std::size_t head = 0; head < spec.heads; ++head)
    for (int distance = -reach; distance <= reach; ++distance)
      distance_values_.push_back(buckets.row(distance_bucket(distance))[head]);
  attention_.bias = {
      distance_memory_.hold(std::span<const float>(distance_values_), weights.memory()),
      static_cast<std::size_t>(reach)};
}

void Bert::bind_distance_rows(const ModelSpec& spec, WeightSource& weights) {
  distance_rows_ = distance_rows(spec.relative, static_cast<int>(spec.positions) - 1);
  rows_in_memory_ =
      distance_memory_.hold(std::span<const std::int32_t>(distance_rows_), weights.memory());
}

kernels::RelativePositions Bert::bind_relative(const ModelSpec& spec, WeightSource& weights,
                                               const std::string& layer) const {
  const RelativeSpec& relative = spec.relative;
  if (!relative.keys && !relative.queries) return {};
  const StoredVectors vectors = {.table = "encoder.rel_embeddings",
                                 .rows = relative.rows(),
                                 .columns = hidden_,
                                 .norm = relative.normalized ? "encoder.LayerNorm" : "",
                                 .epsilon = epsilon_};
  const auto made_by = [&](std::string_view shared, std::string_view own) {
    const std::string_view name = relative.shared_layers ? shared : own;
    return weights.head_weights(vectors, {layer + std::string(name), hidden_}, spec.heads);
  };
  kernels::RelativePositions bound = {
      .rows = rows_in_memory_, .reach = spec.positions - 1, .count = relative.rows()};
  if (relative.keys) bound.keys = made_by(kDeberta.key, "attention.self.pos_key_proj");
  if (relative.queries) bound.queries = made_by(kDeberta.query, "attention.self.pos_query_proj");
  return bound;
}

Bert::Layer Bert::bind_layer(const ModelSpec& spec, WeightSource& weights,
                             std::uint32_t index) const {
  const LayerNames& names = names_of(spec.architecture);
  const std::string layer = fmt::format("{}{}.", names.layer, index);
  const auto name = [&layer](std::string_view part) { return layer + std::string(part); };
  const std::size_t h = hidden_;
  kernels::AttentionShape attention = attention_;
  attention.relative = bind_relative(spec, weights, layer);
  const Role middle = weights.feed_forward_role(index, true);
  return {.attention = attention,
          .query_key_value = weights.linear(
              {{name(names.query), h}, {name(names.key), h}, {name(names.value), h}}, h,
              Bias::stored, Split::outputs, norm_before(spec, index), Role::attention),
          .attention_output = weights.linear({{name(names.attention_output), h}}, h, Bias::stored,
                                             Split::inputs, {}, Role::attention),
          .attention_norm = weights.norm(name(names.attention_norm), h, epsilon_),
          .up = weights.linear({{name(names.up), intermediate_}}, h, Bias::stored, Split::outputs,
                               name(names.attention_norm), middle),
          .down = weights.linear({{name(names.down), h}}, intermediate_, Bias::stored,
                                 Split::inputs, name(names.up), middle),
          .output_norm = weights.norm(name(names.output_norm), h, epsilon_)};
}

void Bert::embed(kernels::Backend& ops, const kernels::Texts& texts, TypedSpan x) {
  ops.embed(embedding_, texts, x);
}

void Bert::run_layers(kernels::Backend& ops, std::span<const std::uint32_t> cu_seqlens,
                      TypedSpan x) {
  for (const Layer& layer : layers_) run_layer(ops, layer, cu_seqlens, x);
}

void Bert::run_layer(kernels::Backend& ops, const Layer& layer,
                     std::span<const std::uint32_t> cu_seqlens, TypedSpan x) {
  const kernels::AttentionShape& shape = layer.attention;
  const TypedSpan qkv = ops.states(heads_input_, x.rows, shape.columns());
  const TypedSpan context = ops.states(context_, x.rows, shape.heads * shape.head_size);
  ops.linear(x, layer.query_key_value, Activation::none, {}, qkv);
  ops.attention(qkv, cu_seqlens, shape, context);

  for_row_blocks(ops, x, [&](std::size_t first, std::size_t rows) {
    const TypedSpan states = x.slice_rows(first, rows);
    const TypedSpan sum = ops.states(sum_, rows, hidden_);
    ops.linear(context.slice_rows(first, rows), layer.attention_output, Activation::none, states,
               sum);
    ops.normalize(sum, layer.attention_norm, {}, states);
    ops.feed_forward_normalized(states, layer.up, Activation::gelu, layer.down, layer.output_norm,
                                sum);
  });
}

}  // namespace sheaf::model
