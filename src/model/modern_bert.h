#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/model.h"
#include "model/rotary.h"
#include "tensor/buffer.h"

namespace sheaf::model {

// Warner et al., "Smarter, Better, Faster, Longer" (ModernBERT, 2024): norms before the sub-layers,
// rotary positions, gated up projections, no biases; most layers see a window around each token,
// every few layers the whole text.
class ModernBert final : public Model {
 public:
  ModernBert(const ModelSpec& spec, WeightSource& weights);

  void embed(kernels::Backend& ops, const kernels::Texts& texts, tensor::TypedSpan x) override;
  void run_layers(kernels::Backend& ops, std::span<const std::uint32_t> cu_seqlens,
                  tensor::TypedSpan x) override;
  void finish(kernels::Backend& ops, tensor::TypedSpan x) override;

 private:
  struct Layer {
    kernels::Norm attention_norm;  // without scale in the first layer: none
    kernels::Linear query_key_value;
    kernels::Linear attention_output;
    kernels::Norm middle_norm;
    kernels::Linear gate_up;
    kernels::Linear down;
    bool local = false;
  };

  Layer bind_layer(const ModelSpec& spec, WeightSource& weights, std::uint32_t index) const;
  // out = x + attention(norm(x))
  void attend(kernels::Backend& ops, const Layer& layer, std::span<const std::uint32_t> cu_seqlens,
              tensor::TypedView x, tensor::TypedSpan out);
  // out = x + down(gate(up(norm(x))))
  void run_middle(kernels::Backend& ops, const Layer& layer, tensor::TypedView x,
                  tensor::TypedSpan out);

  std::size_t hidden_;
  std::size_t intermediate_;
  kernels::AttentionShape global_, local_;
  RotaryTable global_rotary_, local_rotary_;
  kernels::Embedding embedding_;
  std::vector<Layer> layers_;
  kernels::Norm final_norm_;

  tensor::Buffer attended_;     // [tokens, hidden]
  tensor::Buffer normed_;       // [tokens or block, hidden]
  tensor::Buffer heads_input_;  // [tokens, 3 * hidden]
  tensor::Buffer context_;      // [tokens, hidden]
  tensor::Buffer wide_;         // [block, 2 * intermediate]
  tensor::Buffer gated_;        // [block, intermediate]
};

}  // namespace sheaf::model
