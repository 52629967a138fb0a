#include "model/token_head.h"

#include <numeric>

namespace sheaf::model {

using tensor::MatrixSpan;
using tensor::MatrixView;
using tensor::TypedView;

TokenHead::TokenHead(const ModelSpec& spec, WeightSource& weights) {
  const DenseSpec& head = spec.token_vectors;
  if (head.name.empty() || !weights.has_heads()) return;
  linear_ = weights.linear({{head.name, head.outputs}}, head.inputs,
                           head.bias ? Bias::stored : Bias::none);
}

void TokenHead::forward(kernels::Backend& ops, std::span<const std::uint32_t> cu_seqlens,
                        TypedView states, const Take& take) {
  const std::size_t left_out = linear_.weight != nullptr ? 1 : 0;
  const MatrixView vectors = tensor::on_host(
      linear_.weight != nullptr ? TypedView(project(ops, states)) : states, ops.memory(), copy_);
  for (std::size_t i = 0; i + 1 < cu_seqlens.size(); ++i)
    take(
        vectors.slice_rows(cu_seqlens[i] + left_out, cu_seqlens[i + 1] - cu_seqlens[i] - left_out));
}

// Each product is brought to length 1 as if it were a text of one token.
MatrixView TokenHead::project(kernels::Backend& ops, TypedView states) {
  const MatrixSpan products = products_.matrix(states.rows, linear_.outputs, ops.memory());
  const MatrixSpan vectors = vectors_.matrix(states.rows, linear_.outputs, ops.memory());
  ops.linear(states, linear_, kernels::Activation::none, {}, products);
  std::vector<std::uint32_t> bounds(states.rows + 1);
  std::iota(bounds.begin(), bounds.end(), 0u);
  const std::vector<kernels::PoolItem> items(
      states.rows, {.dimensions = static_cast<std::uint32_t>(linear_.outputs)});
  const kernels::Reduction first[] = {kernels::Reduction::cls};
  ops.pool(products, bounds, first, items, vectors);
  return vectors;
}

}  // namespace sheaf::model
