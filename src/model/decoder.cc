#include "model/decoder.h"

#include <fmt/core.h>

#include <cmath>

#include "model/row_blocks.h"

namespace sheaf::model {

using kernels::Activation;
using tensor::TypedSpan;
using tensor::TypedView;

namespace {

// The parts as one stored weight holds them, one below the other.
void stack(std::vector<LinearPart>& parts, const std::string& name) {
  std::size_t rows = 0;
  for (LinearPart& part : parts) {
    part.name = name;
    part.first_row = rows;
    rows += part.outputs;
  }
  for (LinearPart& part : parts) part.stored_rows = rows;
}

}  // namespace

Decoder::Decoder(const ModelSpec& spec, WeightSource& weights)
    : hidden_(spec.hidden_size),
      intermediate_(weights.share_of(spec.intermediate_size)),
      gemma_(spec.architecture == Architecture::gemma3),
      global_{.heads = weights.share_of(spec.heads),
              .kv_heads = weights.share_of(spec.kv_heads),
              .head_size = spec.head_size},
      global_rotary_(spec.rotary, spec.head_size),
      local_rotary_(spec.local_rotary, spec.head_size) {
  if (spec.causal) global_.after = 0;
  local_ = global_;
  local_.before = spec.local_before;
  local_.after = spec.local_after;
  const float scale = gemma_ ? std::sqrt(static_cast<float>(hidden_)) : 1;
  if (weights.has_words())
    embedding_.words = weights.table("embed_tokens", spec.vocab_size, hidden_, {.times = scale});
  for (const std::uint32_t i : layers_of(spec, weights.shard().stage))
    if (weights.status().ok()) layers_.push_back(bind_layer(spec, weights, i));
  if (weights.has_heads()) final_norm_ = bind_norm(spec, weights, "norm", hidden_);
}

kernels::Norm Decoder::bind_norm(const ModelSpec& spec, WeightSource& weights,
                                 const std::string& name, std::size_t columns, float times) const {
  const Adjust adjust{.plus = gemma_ ? 1.0f : 0.0f, .times = times};
  return weights.norm(name, columns, spec.norm_epsilon, NormKind::rms, adjust);
}

Decoder::Layer Decoder::bind_layer(const ModelSpec& spec, WeightSource& weights,
                                   std::uint32_t index) const {
  const std::string layer = fmt::format("layers.{}.", index);
  const auto norm = [&](const char* name) {
    return bind_norm(spec, weights, layer + name, hidden_);
  };
  const auto bias = [](bool stored) { return stored ? Bias::stored : Bias::none; };
  const std::size_t size = global_.head_size;
  const std::size_t query_columns = spec.heads * size;
  const std::size_t key_columns = spec.kv_heads * size;
  Layer bound;
  bound.attention_norm = norm("input_layernorm");
  // Phi-3 stores as one what the others store apart.
  const bool stacked = spec.model_type == "phi3";
  std::vector<LinearPart> heads = {{layer + "self_attn.q_proj", query_columns},
                                   {layer + "self_attn.k_proj", key_columns},
                                   {layer + "self_attn.v_proj", key_columns}};
  if (stacked) stack(heads, layer + "self_attn.qkv_proj");
  bound.query_key_value =
      weights.linear(heads, hidden_, bias(spec.query_key_value_bias), Split::outputs,
                     layer + "input_layernorm", Role::attention);
  if (spec.head_norms) {
    // Attention divides by the root of the head's size, whatever the model wants.
    const double divided_by = spec.query_scalar > 0 ? spec.query_scalar : static_cast<double>(size);
    const double times = std::sqrt(static_cast<double>(size) / divided_by);
    bound.head_norms.query =
        bind_norm(spec, weights, layer + "self_attn.q_norm", size, static_cast<float>(times));
    bound.head_norms.key = bind_norm(spec, weights, layer + "self_attn.k_norm", size);
    bound.head_norms.queries = global_.heads;
  }
  bound.attention_output =
      weights.linear({{layer + "self_attn.o_proj", hidden_}}, query_columns,
                     bias(spec.attention_output_bias), Split::inputs, {}, Role::attention);
  if (gemma_) bound.after_attention = norm("post_attention_layernorm");
  const char* const middle_norm = gemma_ ? "pre_feedforward_layernorm" : "post_attention_layernorm";
  bound.middle_norm = norm(middle_norm);
  std::vector<LinearPart> gate_up = {{layer + "mlp.gate_proj", spec.intermediate_size},
                                     {layer + "mlp.up_proj", spec.intermediate_size}};
  if (stacked) stack(gate_up, layer + "mlp.gate_up_proj");
  const Role middle = weights.feed_forward_role(index, false);
  bound.gate_up = weights.linear(gate_up, hidden_, bias(spec.up_bias), Split::outputs,
                                 layer + middle_norm, middle);
  bound.down = weights.linear({{layer + "mlp.down_proj", hidden_}}, spec.intermediate_size,
                              bias(spec.down_bias), Split::inputs, {}, middle);
  if (gemma_) bound.after_middle = norm("post_feedforward_layernorm");
  bound.local = spec.is_local(index);
  return bound;
}

void Decoder::embed(kernels::Backend& ops, const kernels::Texts& texts, TypedSpan x) {
  ops.embed(embedding_, texts, x);
}

void Decoder::run_layers(kernels::Backend& ops, std::span<const std::uint32_t> cu_seqlens,
                         TypedSpan x) {
  const TypedSpan attended = ops.states(attended_, x.rows, hidden_);
  for (const Layer& layer : layers_) {
    attend(ops, layer, cu_seqlens, x, attended);
    run_middle(ops, layer, attended, x);
  }
}

void Decoder::finish(kernels::Backend& ops, TypedSpan x) { ops.normalize(x, final_norm_, {}, x); }

template <class Multiply>
void Decoder::finish(kernels::Backend& ops, const kernels::Norm& norm, TypedView residual,
                     TypedSpan out, Multiply multiply) {
  if (norm.scale == nullptr) return multiply(residual, out);
  const TypedSpan unfinished = ops.states(unfinished_, out.rows, hidden_);
  multiply({}, unfinished);
  ops.normalize(unfinished, norm, residual, out);
}

void Decoder::attend(kernels::Backend& ops, const Layer& layer,
                     std::span<const std::uint32_t> cu_seqlens, TypedView x, TypedSpan out) {
  const kernels::AttentionShape& shape = layer.local ? local_ : global_;
  const TypedSpan normed = ops.states(normed_, x.rows, hidden_);
  const TypedSpan qkv = ops.states(heads_input_, x.rows, shape.columns());
  const TypedSpan context = ops.states(context_, x.rows, shape.heads * shape.head_size);
  ops.normalize(x, layer.attention_norm, {}, normed);
  ops.linear(normed, layer.query_key_value, Activation::none, {}, qkv);
  RotaryTable& rotary = layer.local ? local_rotary_ : global_rotary_;
  const std::size_t turned = shape.heads + shape.kv_heads;
  rotary.turn(ops, qkv.slice_columns(0, turned * shape.head_size), cu_seqlens, turned,
              layer.head_norms);
  ops.attention(qkv, cu_seqlens, shape, context);
  finish(ops, layer.after_attention, x, out, [&](TypedView residual, TypedSpan to) {
    ops.linear(context, layer.attention_output, Activation::none, residual, to);
  });
}

void Decoder::run_middle(kernels::Backend& ops, const Layer& layer, TypedView x, TypedSpan out) {
  for_row_blocks(ops, x, [&](std::size_t first, std::size_t rows) {
    const TypedView states = x.slice_rows(first, rows);
    const TypedSpan normed = ops.states(normed_, rows, hidden_);
    const TypedSpan wide = ops.states(wide_, rows, 2 * intermediate_);
    const TypedSpan gated = ops.states(gated_, rows, intermediate_);
    ops.normalize(states, layer.middle_norm, {}, normed);
    const Activation activation = gemma_ ? Activation::gelu_tanh : Activation::silu;
    finish(ops, layer.after_middle, states, out.slice_rows(first, rows),
           [&](TypedView residual, TypedSpan to) {
             ops.feed_forward_gated(normed, layer.gate_up, activation, layer.down, residual, wide,
                                    gated, to);
           });
  });
}

}  // namespace sheaf::model
