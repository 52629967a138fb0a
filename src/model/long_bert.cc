#include "model/long_bert.h"

#include <fmt/core.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <string_view>

#include "model/row_blocks.h"
#include "model/words.h"

namespace sheaf::model {

using kernels::Activation;
using tensor::TypedSpan;
using tensor::TypedView;

namespace {

// Of a stored pair that is one matrix, which half comes first.
enum class Halves { apart, gate_first, up_first };

struct LongNames {
  std::string_view embedding_norm;
  std::string_view layer;            // then its index
  std::string_view query_key_value;  // one matrix; empty: three, as BERT has them
  std::string_view attention_output, attention_norm;
  std::string_view gate, up;  // apart; together both are `gate`. Without gate: `up`
  Halves halves;
  std::string_view down, output_norm;
};

constexpr LongNames kNomic = {.embedding_norm = "emb_ln",
                              .layer = "encoder.layers.",
                              .query_key_value = "attn.Wqkv",
                              .attention_output = "attn.out_proj",
                              .attention_norm = "norm1",
                              .gate = "mlp.fc12",
                              .up = "mlp.fc11",
                              .halves = Halves::apart,
                              .down = "mlp.fc2",
                              .output_norm = "norm2"};
constexpr LongNames kGte = {.embedding_norm = "embeddings.LayerNorm",
                            .layer = "encoder.layer.",
                            .query_key_value = "attention.qkv_proj",
                            .attention_output = "attention.o_proj",
                            .attention_norm = "attn_ln",
                            .gate = "mlp.up_gate_proj",
                            .up = "",
                            .halves = Halves::up_first,
                            .down = "mlp.down_proj",
                            .output_norm = "mlp_ln"};
constexpr LongNames kJinaBert = {.embedding_norm = "embeddings.LayerNorm",
                                 .layer = "encoder.layer.",
                                 .query_key_value = "",
                                 .attention_output = "attention.output.dense",
                                 .attention_norm = "attention.output.LayerNorm",
                                 .gate = "mlp.gated_layers",
                                 .up = "",
                                 .halves = Halves::gate_first,
                                 .down = "mlp.wo",
                                 .output_norm = "mlp.layernorm"};
constexpr LongNames kJinaCode = {.embedding_norm = "embeddings.LayerNorm",
                                 .layer = "encoder.layer.",
                                 .query_key_value = "",
                                 .attention_output = "attention.output.dense",
                                 .attention_norm = "attention.output.LayerNorm",
                                 .gate = "mlp.up_gated_layer",
                                 .up = "",
                                 .halves = Halves::up_first,
                                 .down = "mlp.down_layer",
                                 .output_norm = "layer_norm_2"};
constexpr LongNames kJinaFlash = {.embedding_norm = "emb_ln",
                                  .layer = "encoder.layers.",
                                  .query_key_value = "mixer.Wqkv",
                                  .attention_output = "mixer.out_proj",
                                  .attention_norm = "norm1",
                                  .gate = "",
                                  .up = "",
                                  .halves = Halves::apart,
                                  .down = "mlp.fc2",
                                  .output_norm = "norm2"};
constexpr std::string_view kUngated = "mlp.fc1";

const LongNames& long_names_of(Architecture architecture) {
  switch (architecture) {
    case Architecture::gte:
      return kGte;
    case Architecture::jina_bert:
      return kJinaBert;
    case Architecture::jina_code:
      return kJinaCode;
    case Architecture::jina_flash:
      return kJinaFlash;
    default:
      return kNomic;
  }
}

Activation activation_of(const std::string& name) {
  if (name == "silu") return Activation::silu;
  return name == "relu" ? Activation::relu : Activation::gelu;
}

// How much a head's attention falls from a token to the next. A power of two heads have the slopes
// 2^(-8 / heads), its square, and so on; those beyond the largest such power have every other slope
// of twice as many heads (the implementation of ALiBi's authors).
float slope_of(std::size_t head, std::size_t heads) {
  const std::size_t power = std::bit_floor(heads);
  const double step =
      head < power ? static_cast<double>(head + 1) : static_cast<double>(head - power) + 0.5;
  return static_cast<float>(std::exp2(-8 * step / static_cast<double>(power)));
}

constexpr std::string_view kSecondNorm = "layer_norm_1";  // of jina_code

// Whose output a layer's feed-forward part takes.
std::string middle_norm_of(const ModelSpec& spec, const std::string& layer) {
  const bool second = spec.architecture == Architecture::jina_code;
  return layer +
         std::string(second ? kSecondNorm : long_names_of(spec.architecture).attention_norm);
}

// Whose output a layer takes.
std::string long_norm_before(const ModelSpec& spec, std::uint32_t layer) {
  const LongNames& names = long_names_of(spec.architecture);
  return layer == 0 ? std::string(names.embedding_norm)
                    : fmt::format("{}{}.{}", names.layer, layer - 1, names.output_norm);
}

Bias bias_if(bool stored) { return stored ? Bias::stored : Bias::none; }

}  // namespace

LongBert::LongBert(const ModelSpec& spec, WeightSource& weights)
    : hidden_(spec.hidden_size),
      intermediate_(spec.intermediate_size),
      gated_(spec.gated),
      activation_(activation_of(spec.activation)),
      experts_chosen_(spec.experts_chosen),
      attention_{.heads = spec.heads, .kv_heads = spec.kv_heads, .head_size = spec.head_size},
      rotary_(spec.rotary, spec.head_size),
      turns_(spec.rotary.theta != 0),
      linear_distance_(spec.linear_distance) {
  const Stage stage = weights.shard().stage;
  if (weights.has_words())
    embedding_ = bind_embedding(spec, weights);
  else  // which another stage computes, and which tells here how large inputs are
    weights.norm(long_norm_before(spec, stage.first_layer), hidden_, spec.norm_epsilon);
  for (const std::uint32_t i : layers_of(spec, stage))
    if (weights.status().ok()) layers_.push_back(bind_layer(spec, weights, i));
}

kernels::Embedding LongBert::bind_embedding(const ModelSpec& spec, WeightSource& weights) const {
  kernels::Embedding table;
  table.words = weights.table("embeddings.word_embeddings", spec.vocab_size, hidden_);
  if (!turns_ && !linear_distance_) bind_positions(spec, weights, table);
  if (spec.type_vocab_size > 0)
    table.types = weights.table("embeddings.token_type_embeddings", spec.type_vocab_size, hidden_);
  const LongNames& names = long_names_of(spec.architecture);
  table.norm = weights.norm(std::string(names.embedding_norm), hidden_, spec.norm_epsilon);
  return table;
}

void LongBert::reach_distances(kernels::Backend& ops, std::span<const std::uint32_t> cu_seqlens) {
  int reach = static_cast<int>(attention_.bias.reach);
  for (std::size_t text = 0; text + 1 < cu_seqlens.size(); ++text)
    reach = std::max(reach, static_cast<int>(cu_seqlens[text + 1] - cu_seqlens[text]));
  if (reach == static_cast<int>(attention_.bias.reach)) return;
  distance_values_.clear();
  distance_values_.reserve(attention_.heads * (2 * static_cast<std::size_t>(reach) + 1));
  for (std::size_t head = 0; head < attention_.heads; ++head)
    for (int distance = -reach; distance <= reach; ++distance)
      distance_values_.push_back(-slope_of(head, attention_.heads) *
                                 static_cast<float>(std::abs(distance)));
  attention_.bias = {distance_memory_.hold(std::span<const float>(distance_values_), ops.memory()),
                     static_cast<std::size_t>(reach)};
}

LongBert::Layer LongBert::bind_layer(const ModelSpec& spec, WeightSource& weights,
                                     std::uint32_t index) const {
  const LongNames& names = long_names_of(spec.architecture);
  const std::string prefix = fmt::format("{}{}.", names.layer, index);
  const auto norm = [&](std::string_view name) {
    return weights.norm(prefix + std::string(name), hidden_, spec.norm_epsilon);
  };
  std::vector<LinearPart> heads = {{prefix + std::string(names.query_key_value), 3 * hidden_}};
  if (names.query_key_value.empty())
    heads = {{prefix + "attention.self.query", hidden_},
             {prefix + "attention.self.key", hidden_},
             {prefix + "attention.self.value", hidden_}};
  Layer layer;
  layer.query_key_value =
      weights.linear(heads, hidden_, bias_if(spec.query_key_value_bias), Split::none,
                     long_norm_before(spec, index), Role::attention);
  if (spec.architecture == Architecture::jina_code) {
    layer.query_norm = norm("attention.self.layer_norm_q");
    layer.key_norm = norm("attention.self.layer_norm_k");
    layer.second_norm = norm(kSecondNorm);
  }
  layer.attention_output =
      weights.linear({{prefix + std::string(names.attention_output), hidden_}}, hidden_,
                     bias_if(spec.attention_output_bias), Split::none, {}, Role::attention);
  layer.attention_norm = norm(names.attention_norm);
  const bool bounded = !gated_ && !spec.has_experts(index);
  const Role middle = weights.feed_forward_role(index, bounded);
  if (spec.has_experts(index))
    bind_experts(spec, weights, prefix, middle, layer);
  else
    bind_middle(spec, weights, prefix, middle, layer);
  layer.output_norm = norm(names.output_norm);
  return layer;
}

void LongBert::bind_middle(const ModelSpec& spec, WeightSource& weights, const std::string& prefix,
                           Role role, Layer& layer) const {
  const LongNames& names = long_names_of(spec.architecture);
  const std::string gate = prefix + std::string(names.gate);
  std::vector<LinearPart> parts = {{prefix + std::string(kUngated), intermediate_}};
  if (gated_ && names.halves == Halves::apart)
    parts = {{gate, intermediate_}, {prefix + std::string(names.up), intermediate_}};
  if (gated_ && names.halves == Halves::gate_first) parts = {{gate, 2 * intermediate_}};
  if (gated_ && names.halves == Halves::up_first)
    parts = {{.name = gate,
              .outputs = intermediate_,
              .stored_rows = 2 * intermediate_,
              .first_row = intermediate_},
             {.name = gate, .outputs = intermediate_, .stored_rows = 2 * intermediate_}};
  layer.up = weights.linear(parts, hidden_, bias_if(spec.up_bias), Split::none,
                            middle_norm_of(spec, prefix), role);
  layer.down = weights.linear({{prefix + std::string(names.down), hidden_}}, intermediate_,
                              bias_if(spec.down_bias), Split::none,
                              gated_ ? std::string() : parts.front().name, role);
}

// All experts' weights lie below each other in one tensor each for up and, transposed, down.
void LongBert::bind_experts(const ModelSpec& spec, WeightSource& weights, const std::string& prefix,
                            Role role, Layer& layer) const {
  layer.router = weights.linear({{prefix + "mlp.router.layer", spec.experts}}, hidden_, Bias::none,
                                Split::none, middle_norm_of(spec, prefix));
  const std::size_t rows = spec.experts * intermediate_;
  for (std::size_t first = 0; first < rows; first += intermediate_) {
    const LinearPart up = {.name = prefix + "mlp.experts.mlp.w1",
                           .outputs = intermediate_,
                           .stored_rows = rows,
                           .first_row = first};
    const LinearPart down = {.name = prefix + "mlp.experts.mlp.w2",
                             .outputs = hidden_,
                             .stored_rows = rows,
                             .first_row = first,
                             .transposed = true};
    layer.expert_up.push_back(
        weights.linear({up}, hidden_, Bias::none, Split::none, middle_norm_of(spec, prefix), role));
    layer.expert_down.push_back(
        weights.linear({down}, intermediate_, Bias::none, Split::none, {}, role));
  }
  layer.expert_bias = weights.vector(prefix + "mlp.experts.bias", hidden_);
}

void LongBert::embed(kernels::Backend& ops, const kernels::Texts& texts, TypedSpan x) {
  ops.embed(embedding_, texts, x);
}

void LongBert::run_layers(kernels::Backend& ops, std::span<const std::uint32_t> cu_seqlens,
                          TypedSpan x) {
  if (linear_distance_) reach_distances(ops, cu_seqlens);
  for (const Layer& layer : layers_) run_layer(ops, layer, cu_seqlens, x);
}

void LongBert::run_layer(kernels::Backend& ops, const Layer& layer,
                         std::span<const std::uint32_t> cu_seqlens, TypedSpan x) {
  const TypedSpan qkv = ops.states(heads_input_, x.rows, 3 * hidden_);
  const TypedSpan context = ops.states(context_, x.rows, hidden_);
  ops.linear(x, layer.query_key_value, Activation::none, {}, qkv);
  if (layer.query_norm.scale != nullptr) {
    const TypedSpan queries = qkv.slice_columns(0, hidden_);
    const TypedSpan keys = qkv.slice_columns(hidden_, hidden_);
    ops.normalize(queries, layer.query_norm, {}, queries);
    ops.normalize(keys, layer.key_norm, {}, keys);
  }
  if (turns_)
    rotary_.turn(ops, qkv.slice_columns(0, 2 * hidden_), cu_seqlens, 2 * attention_.heads);
  ops.attention(qkv, cu_seqlens, attention_, context);

  for_row_blocks(ops, x, [&](std::size_t first, std::size_t rows) {
    const TypedSpan states = x.slice_rows(first, rows);
    finish_attention(ops, layer, context.slice_rows(first, rows), states);
    if (layer.router.weight == nullptr) run_middle(ops, layer, states);
  });
  if (layer.router.weight != nullptr) run_experts(ops, layer, x);
}

void LongBert::finish_attention(kernels::Backend& ops, const Layer& layer, TypedView context,
                                TypedSpan states) {
  const TypedSpan sum = ops.states(sum_, states.rows, hidden_);
  ops.linear(context, layer.attention_output, Activation::none, states, sum);
  if (layer.second_norm.scale == nullptr)
    return ops.normalize(sum, layer.attention_norm, {}, states);
  ops.normalize(sum, layer.attention_norm, states, sum);
  ops.normalize(sum, layer.second_norm, {}, states);
}

void LongBert::run_middle(kernels::Backend& ops, const Layer& layer, TypedSpan states) {
  const TypedSpan sum = ops.states(sum_, states.rows, hidden_);
  if (gated_) {
    const TypedSpan wide = ops.states(wide_, states.rows, 2 * intermediate_);
    const TypedSpan gated = ops.states(gated_states_, states.rows, intermediate_);
    ops.feed_forward_gated(states, layer.up, activation_, layer.down, states, wide, gated, sum);
    ops.normalize(sum, layer.output_norm, {}, states);
  } else {
    ops.feed_forward_normalized(states, layer.up, activation_, layer.down, layer.output_norm, sum);
  }
}

// All rows at once: few of them share an expert.
void LongBert::run_experts(kernels::Backend& ops, const Layer& layer, TypedSpan states) {
  const TypedSpan sum = ops.states(sum_, states.rows, hidden_);
  const tensor::MatrixSpan logits =
      logits_.matrix(states.rows, layer.expert_up.size(), ops.memory());
  ops.linear(states, layer.router, Activation::none, {}, logits);
  const kernels::Experts experts{.up = layer.expert_up,
                                 .down = layer.expert_down,
                                 .activation = activation_,
                                 .chosen = experts_chosen_,
                                 .bias = layer.expert_bias};
  ops.mix_experts(states, logits, experts, states, sum);
  ops.normalize(sum, layer.output_norm, {}, states);
}

}  // namespace sheaf::model
