#pragma once

#include <vector>

#include "kernels/ops.h"
#include "model/spec/spec.h"
#include "model/weights.h"
#include "tensor/buffer.h"

namespace sheaf::model {

// What takes the pooled vectors further: Dense modules of sentence-transformers, or the head of a
// classifier.
class DenseHead {
 public:
  DenseHead(const ModelSpec& spec, WeightSource& weights);

  bool empty() const { return layers_.empty(); }
  // x [texts, first layer's inputs] -> [texts, last layer's outputs], valid until the next call.
  tensor::MatrixView forward(kernels::Backend& ops, tensor::MatrixView x);

 private:
  struct Layer {
    kernels::Linear linear;
    kernels::Activation activation = kernels::Activation::none;
    kernels::Norm norm;  // without scale: none
  };
  std::vector<Layer> layers_;
  std::vector<tensor::Buffer> outputs_;  // of each layer [texts, outputs]
};

}  // namespace sheaf::model
