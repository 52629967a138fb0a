#pragma once

#include <functional>
#include <span>
#include <vector>

#include "kernels/ops.h"
#include "model/spec/spec.h"
#include "model/weights.h"
#include "tensor/buffer.h"

namespace sheaf::model {

// What gives words their weights in a text: the head of a masked language model (SPLADE), or
// bge-m3's (Chen et al., "BGE M3-Embedding", 2024), where only the words of the text have one.
class SparseHead {
 public:
  // Of a model without such a head, which is then not asked for sparse rows, nothing is bound.
  SparseHead(const ModelSpec& spec, WeightSource& weights);

  // Gives `take` each text's row in order, [terms, 2]: the words of weight above 0, ids ascending,
  // and their weights. The row is valid during the call. `states` [tokens, hidden].
  using Take = std::function<void(std::span<const float>)>;
  void forward(kernels::Backend& ops, const kernels::Texts& texts, tensor::TypedView states,
               const Take& take);

 private:
  // Of texts [first, last), few enough that all their words' weights fit.
  void weigh_words(kernels::Backend& ops, const kernels::Texts& texts, tensor::TypedView states,
                   std::size_t first, std::size_t last, const Take& take);
  tensor::TypedView transform(kernels::Backend& ops, tensor::TypedView states);
  void take_words(std::span<const float> weights, const Take& take);
  void weigh_tokens(kernels::Backend& ops, const kernels::Texts& texts, tensor::TypedView states,
                    const Take& take);
  void take_tokens(std::span<const std::int32_t> ids, const float* weights, const Take& take);

  bool of_words_;  // else of tokens
  kernels::Linear dense_;
  kernels::Norm norm_;
  kernels::Linear words_;
  kernels::WordWeights how_;

  kernels::Linear token_weight_;
  std::vector<std::uint32_t> special_ids_;

  tensor::Buffer transformed_;  // [tokens, hidden]
  tensor::Buffer weights_;      // [texts, vocabulary] or [tokens, 1]
  std::vector<float> copy_;     // of them, from a device
  std::vector<float> row_;
  std::vector<std::pair<std::int32_t, float>> terms_;
};

}  // namespace sheaf::model
