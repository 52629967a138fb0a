#include "model/bert.h"

#include <fmt/core.h>

namespace sheaf::model {

using kernels::Activation;
using tensor::MatrixSpan;
using tensor::MatrixView;

Bert::Bert(const ModelSpec& spec, WeightSource& weights)
    : hidden_(spec.hidden_size),
      intermediate_(spec.intermediate_size),
      heads_(spec.heads),
      epsilon_(spec.norm_epsilon) {
  embedding_ = {
      .words = weights.table("embeddings.word_embeddings", spec.vocab_size, hidden_),
      .positions = weights.table("embeddings.position_embeddings", spec.positions, hidden_),
      .type = weights.table("embeddings.token_type_embeddings", spec.type_vocab_size, hidden_).data,
      .norm = weights.norm("embeddings.LayerNorm", hidden_, epsilon_)};
  for (std::uint32_t i = 0; i < spec.layers && weights.status().ok(); ++i)
    layers_.push_back(bind_layer(weights, fmt::format("encoder.layer.{}.", i)));
}

Bert::Layer Bert::bind_layer(WeightSource& weights, const std::string& name) const {
  const std::string self = name + "attention.self.";
  return {.query_key_value =
              weights.linear({self + "query", self + "key", self + "value"}, hidden_, 3 * hidden_),
          .attention_output = weights.linear({name + "attention.output.dense"}, hidden_, hidden_),
          .attention_norm = weights.norm(name + "attention.output.LayerNorm", hidden_, epsilon_),
          .up = weights.linear({name + "intermediate.dense"}, hidden_, intermediate_),
          .down = weights.linear({name + "output.dense"}, intermediate_, hidden_),
          .output_norm = weights.norm(name + "output.LayerNorm", hidden_, epsilon_)};
}

MatrixView Bert::forward(kernels::Backend& ops, std::span<const std::int32_t> ids,
                         std::span<const std::uint32_t> cu_seqlens) {
  const MatrixSpan x = states_.matrix(ids.size(), hidden_);
  ops.embed(embedding_, ids, cu_seqlens, x);
  for (const Layer& layer : layers_) run_layer(ops, layer, cu_seqlens, x);
  return x;
}

void Bert::run_layer(kernels::Backend& ops, const Layer& layer,
                     std::span<const std::uint32_t> cu_seqlens, MatrixSpan x) {
  const MatrixSpan qkv = heads_input_.matrix(x.rows, 3 * hidden_);
  const MatrixSpan context = context_.matrix(x.rows, hidden_);
  ops.linear(x, layer.query_key_value, Activation::none, {}, qkv);
  ops.attention(qkv, cu_seqlens, heads_, context);

  // After attention tokens no longer meet: the rest of the layer runs block by block through the
  // nearest cache.
  const std::size_t blocks = (x.rows + ops.preferred_rows() - 1) / ops.preferred_rows();
  for (std::size_t block = 0; block < blocks; ++block) {
    const std::size_t first = x.rows * block / blocks;
    const std::size_t rows = x.rows * (block + 1) / blocks - first;
    const MatrixSpan states = x.slice_rows(first, rows);
    const MatrixSpan sum = sum_.matrix(rows, hidden_);
    const MatrixSpan wide = intermediate_states_.matrix(rows, intermediate_);
    ops.linear(context.slice_rows(first, rows), layer.attention_output, Activation::none, states,
               sum);
    ops.layer_norm(sum, layer.attention_norm, states);
    ops.linear(states, layer.up, Activation::gelu, {}, wide);
    ops.linear(wide, layer.down, Activation::none, states, sum);
    ops.layer_norm(sum, layer.output_norm, states);
  }
}

}  // namespace sheaf::model
