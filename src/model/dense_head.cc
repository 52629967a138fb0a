#include "model/dense_head.h"

namespace sheaf::model {
namespace {

kernels::Activation activation_of(DenseActivation activation) {
  switch (activation) {
    case DenseActivation::none:
      return kernels::Activation::none;
    case DenseActivation::gelu:
      return kernels::Activation::gelu;
    case DenseActivation::relu:
      return kernels::Activation::relu;
    case DenseActivation::silu:
      return kernels::Activation::silu;
    case DenseActivation::tanh:
      return kernels::Activation::tanh;
  }
  return kernels::Activation::none;
}

}  // namespace

DenseHead::DenseHead(const ModelSpec& spec, WeightSource& weights) : outputs_(spec.dense.size()) {
  if (!weights.has_heads()) return;
  for (const DenseSpec& dense : spec.dense) {
    Layer& layer = layers_.emplace_back();
    layer.linear = dense.rows.empty()
                       ? weights.linear({{dense.name, dense.outputs}}, dense.inputs,
                                        dense.bias ? Bias::stored : Bias::none)
                       : weights.row_product(dense.name, spec.vocab_size, dense.inputs, dense.rows);
    layer.activation = activation_of(dense.activation);
    if (!dense.norm.empty())
      layer.norm =
          weights.norm(dense.norm, dense.outputs, spec.norm_epsilon, NormKind::layer_without_shift);
  }
}

tensor::MatrixView DenseHead::forward(kernels::Backend& ops, tensor::MatrixView x) {
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const tensor::MatrixSpan out =
        outputs_[i].matrix(x.rows, layers_[i].linear.outputs, ops.memory());
    ops.linear(x, layers_[i].linear, layers_[i].activation, {}, out);
    if (layers_[i].norm.scale != nullptr) ops.normalize(out, layers_[i].norm, {}, out);
    x = out;
  }
  return x;
}

}  // namespace sheaf::model
