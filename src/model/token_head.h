#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "kernels/ops.h"
#include "model/spec/spec.h"
#include "model/weights.h"
#include "tensor/buffer.h"

namespace sheaf::model {

// What a text's tokens are answered with: their last hidden states, or, as bge-m3 has it for late
// interaction (Khattab and Zaharia, "ColBERT", 2020), a product of all but the first, each vector
// of length 1.
class TokenHead {
 public:
  TokenHead(const ModelSpec& spec, WeightSource& weights);

  // Gives `take` each text's vectors in order, [vectors, width], valid during the call.
  using Take = std::function<void(tensor::MatrixView)>;
  void forward(kernels::Backend& ops, std::span<const std::uint32_t> cu_seqlens,
               tensor::TypedView states, const Take& take);

 private:
  tensor::MatrixView project(kernels::Backend& ops, tensor::TypedView states);

  kernels::Linear linear_;   // without weight: none
  tensor::Buffer products_;  // [tokens, width]
  tensor::Buffer vectors_;   // the same
  std::vector<float> copy_;  // of what is answered, from a device
};

}  // namespace sheaf::model
