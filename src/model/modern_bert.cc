#include "model/modern_bert.h"

#include <fmt/core.h>

#include "model/row_blocks.h"
#include "model/words.h"

namespace sheaf::model {

using kernels::Activation;
using tensor::TypedSpan;
using tensor::TypedView;

ModernBert::ModernBert(const ModelSpec& spec, WeightSource& weights)
    : hidden_(spec.hidden_size),
      intermediate_(spec.intermediate_size),
      global_{.heads = spec.heads, .kv_heads = spec.kv_heads, .head_size = spec.head_size},
      local_(global_),
      global_rotary_(spec.rotary, spec.head_size),
      local_rotary_(spec.local_rotary, spec.head_size) {
  local_.before = spec.local_before;
  local_.after = spec.local_after;
  if (weights.has_words()) {
    bind_words(spec, weights, embedding_);
    embedding_.norm =
        weights.norm("embeddings.norm", hidden_, spec.norm_epsilon, NormKind::layer_without_shift);
  }
  for (const std::uint32_t i : layers_of(spec, weights.shard().stage))
    if (weights.status().ok()) layers_.push_back(bind_layer(spec, weights, i));
  if (weights.has_heads())
    final_norm_ =
        weights.norm("final_norm", hidden_, spec.norm_epsilon, NormKind::layer_without_shift);
}

ModernBert::Layer ModernBert::bind_layer(const ModelSpec& spec, WeightSource& weights,
                                         std::uint32_t index) const {
  const std::string layer = fmt::format("layers.{}.", index);
  const auto norm = [&](const char* name) {
    return weights.norm(layer + name, hidden_, spec.norm_epsilon, NormKind::layer_without_shift);
  };
  const auto linear = [&](const char* name, std::size_t inputs, std::size_t outputs,
                          const std::string& norm_before, Role role) {
    return weights.linear({{layer + name, outputs}}, inputs, Bias::none, Split::none, norm_before,
                          role);
  };
  Layer bound;
  if (index > 0) bound.attention_norm = norm("attn_norm");
  bound.query_key_value =
      linear("attn.Wqkv", hidden_, 3 * hidden_, index > 0 ? layer + "attn_norm" : "embeddings.norm",
             Role::attention);
  bound.attention_output = linear("attn.Wo", hidden_, hidden_, {}, Role::attention);
  bound.middle_norm = norm("mlp_norm");
  const Role middle = weights.feed_forward_role(index, false);
  bound.gate_up = linear("mlp.Wi", hidden_, 2 * intermediate_, layer + "mlp_norm", middle);
  bound.down = linear("mlp.Wo", intermediate_, hidden_, {}, middle);
  bound.local = spec.is_local(index);
  return bound;
}

void ModernBert::embed(kernels::Backend& ops, const kernels::Texts& texts, TypedSpan x) {
  ops.embed(embedding_, texts, x);
}

void ModernBert::run_layers(kernels::Backend& ops, std::span<const std::uint32_t> cu_seqlens,
                            TypedSpan x) {
  const TypedSpan attended = ops.states(attended_, x.rows, hidden_);
  for (const Layer& layer : layers_) {
    attend(ops, layer, cu_seqlens, x, attended);
    run_middle(ops, layer, attended, x);
  }
}

void ModernBert::finish(kernels::Backend& ops, TypedSpan x) {
  ops.normalize(x, final_norm_, {}, x);
}

void ModernBert::attend(kernels::Backend& ops, const Layer& layer,
                        std::span<const std::uint32_t> cu_seqlens, TypedView x, TypedSpan out) {
  const TypedSpan qkv = ops.states(heads_input_, x.rows, 3 * hidden_);
  const TypedSpan context = ops.states(context_, x.rows, hidden_);
  TypedView input = x;
  if (layer.attention_norm.scale != nullptr) {
    const TypedSpan normed = ops.states(normed_, x.rows, hidden_);
    ops.normalize(x, layer.attention_norm, {}, normed);
    input = normed;
  }
  ops.linear(input, layer.query_key_value, Activation::none, {}, qkv);
  const kernels::AttentionShape& shape = layer.local ? local_ : global_;
  RotaryTable& rotary = layer.local ? local_rotary_ : global_rotary_;
  rotary.turn(ops, qkv.slice_columns(0, 2 * hidden_), cu_seqlens, 2 * shape.heads);
  ops.attention(qkv, cu_seqlens, shape, context);
  ops.linear(context, layer.attention_output, Activation::none, x, out);
}

void ModernBert::run_middle(kernels::Backend& ops, const Layer& layer, TypedView x, TypedSpan out) {
  for_row_blocks(ops, x, [&](std::size_t first, std::size_t rows) {
    const TypedView states = x.slice_rows(first, rows);
    const TypedSpan normed = ops.states(normed_, rows, hidden_);
    const TypedSpan wide = ops.states(wide_, rows, 2 * intermediate_);
    const TypedSpan gated = ops.states(gated_, rows, intermediate_);
    ops.normalize(states, layer.middle_norm, {}, normed);
    ops.feed_forward_gated(normed, layer.gate_up, Activation::gelu, layer.down, states, wide, gated,
                           out.slice_rows(first, rows));
  });
}

}  // namespace sheaf::model
