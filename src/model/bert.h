#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "model/model.h"
#include "tensor/buffer.h"

namespace sheaf::model {

// Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers" (2018): the encoder,
// without pooler and heads. RoBERTa (Liu et al., 2019), XLM-R and CamemBERT are the same with other
// positions, DistilBERT (Sanh et al., 2019) without token types and under other names; MPNet (Song
// et al., 2020) adds a bias by distance to every layer's attention; that of DeBERTa (He et al.,
// 2021) looks at vectors by distance, its embedding at no positions.
class Bert final : public Model {
 public:
  Bert(const ModelSpec& spec, WeightSource& weights);

  void embed(kernels::Backend& ops, const kernels::Texts& texts, tensor::TypedSpan x) override;
  void run_layers(kernels::Backend& ops, std::span<const std::uint32_t> cu_seqlens,
                  tensor::TypedSpan x) override;

 private:
  struct Layer {
    kernels::AttentionShape attention;
    kernels::Linear query_key_value;
    kernels::Linear attention_output;
    kernels::Norm attention_norm;
    kernels::Linear up;
    kernels::Linear down;
    kernels::Norm output_norm;
  };

  kernels::Embedding bind_embedding(const ModelSpec& spec, WeightSource& weights) const;
  void bind_distance_bias(const ModelSpec& spec, WeightSource& weights);
  void bind_distance_rows(const ModelSpec& spec, WeightSource& weights);
  kernels::RelativePositions bind_relative(const ModelSpec& spec, WeightSource& weights,
                                           const std::string& layer) const;
  Layer bind_layer(const ModelSpec& spec, WeightSource& weights, std::uint32_t index) const;
  void run_layer(kernels::Backend& ops, const Layer& layer,
                 std::span<const std::uint32_t> cu_seqlens, tensor::TypedSpan x);

  std::size_t hidden_;
  std::size_t intermediate_;
  kernels::AttentionShape attention_;
  float epsilon_;
  kernels::Embedding embedding_;
  std::vector<float> distance_values_;            // [heads, 2 * positions - 1]
  std::vector<std::int32_t> distance_rows_;       // [2 * positions - 1]
  const std::int32_t* rows_in_memory_ = nullptr;  // the same, where attention reads them
  tensor::Buffer distance_memory_;                // of the one or the other, on a device
  std::vector<Layer> layers_;

  tensor::Buffer heads_input_;  // [tokens, 3 * heads * head_size]
  tensor::Buffer context_;      // [tokens, heads * head_size]
  tensor::Buffer sum_;          // [block, hidden]
};

}  // namespace sheaf::model
