#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "model/model.h"
#include "model/rotary.h"
#include "tensor/buffer.h"

namespace sheaf::model {

// BERT's successors for long texts, which keep its norms behind the sub-layers: NomicBERT (Nussbaum
// et al., "Nomic Embed", 2024, and with experts in every second layer Nussbaum and Duderstadt,
// 2025), GTE (Zhang et al., "mGTE", 2024), JinaBERT (Günther et al., "Jina Embeddings 2", 2023) and
// Jina's XLM-R (Sturua et al., "jina-embeddings-v3", 2024). They differ in names, biases and in how
// positions come in: by rotation, as a bias by distance (Press et al., "ALiBi", 2022), or from a
// table; and in whether the feed-forward part is gated (Shazeer, "GLU Variants", 2020).
class LongBert final : public Model {
 public:
  LongBert(const ModelSpec& spec, WeightSource& weights);

  void embed(kernels::Backend& ops, const kernels::Texts& texts, tensor::TypedSpan x) override;
  void run_layers(kernels::Backend& ops, std::span<const std::uint32_t> cu_seqlens,
                  tensor::TypedSpan x) override;

 private:
  struct Layer {
    kernels::Linear query_key_value;
    kernels::Norm query_norm, key_norm;  // of all heads together; without scale: none
    kernels::Linear attention_output;
    kernels::Norm attention_norm;
    kernels::Norm second_norm;  // of x + attention_norm(...); without scale: none
    kernels::Linear up;         // gated: the gate, then what it gates
    kernels::Linear down;
    kernels::Norm output_norm;
    kernels::Linear router;  // without weight: there is one `up` and `down`
    std::vector<kernels::Linear> expert_up, expert_down;
    const float* expert_bias = nullptr;
  };

  kernels::Embedding bind_embedding(const ModelSpec& spec, WeightSource& weights) const;
  // The bias by distance is as long as the longest text so far; see RotaryTable.
  void reach_distances(kernels::Backend& ops, std::span<const std::uint32_t> cu_seqlens);
  Layer bind_layer(const ModelSpec& spec, WeightSource& weights, std::uint32_t index) const;
  void bind_middle(const ModelSpec& spec, WeightSource& weights, const std::string& prefix,
                   Role role, Layer& layer) const;
  void bind_experts(const ModelSpec& spec, WeightSource& weights, const std::string& prefix,
                    Role role, Layer& layer) const;
  void run_layer(kernels::Backend& ops, const Layer& layer,
                 std::span<const std::uint32_t> cu_seqlens, tensor::TypedSpan x);
  // states = norm(states + attention's output)
  void finish_attention(kernels::Backend& ops, const Layer& layer, tensor::TypedView context,
                        tensor::TypedSpan states);
  // states = norm(states + down(up(states)))
  void run_middle(kernels::Backend& ops, const Layer& layer, tensor::TypedSpan states);
  void run_experts(kernels::Backend& ops, const Layer& layer, tensor::TypedSpan states);

  std::size_t hidden_;
  std::size_t intermediate_;
  bool gated_;
  kernels::Activation activation_;
  std::size_t experts_chosen_;
  kernels::AttentionShape attention_;
  RotaryTable rotary_;
  bool turns_;
  bool linear_distance_;
  kernels::Embedding embedding_;
  std::vector<float> distance_values_;  // [heads, 2 * reach + 1]
  tensor::Buffer distance_memory_;      // the same, on a device
  std::vector<Layer> layers_;

  tensor::Buffer heads_input_;   // [tokens, 3 * hidden]
  tensor::Buffer context_;       // [tokens, hidden]
  tensor::Buffer sum_;           // [block, hidden], with experts [tokens, hidden]
  tensor::Buffer wide_;          // [block, intermediate or twice that]
  tensor::Buffer gated_states_;  // [block, intermediate]
  tensor::Buffer logits_;        // [tokens, experts]
};

}  // namespace sheaf::model
