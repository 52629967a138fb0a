#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "model/model.h"
#include "model/rotary.h"
#include "tensor/buffer.h"

namespace sheaf::model {

// Language models that embed: Touvron et al., "LLaMA" (2023), and those built like it, Mistral,
// Phi-3, Qwen2, Qwen3. RMS norms before the sub-layers, rotary positions, fewer heads of keys and
// values than of queries, gated up projections. Without the output matrix, so that it does not
// matter whether that is tied to the embeddings. Gemma 3 (Gemma Team, 2025) has norms behind the
// sub-layers too, layers that see a window in between, and numbers stored otherwise than computed
// with.
class Decoder final : public Model {
 public:
  Decoder(const ModelSpec& spec, WeightSource& weights);

  void embed(kernels::Backend& ops, const kernels::Texts& texts, tensor::TypedSpan x) override;
  void run_layers(kernels::Backend& ops, std::span<const std::uint32_t> cu_seqlens,
                  tensor::TypedSpan x) override;
  void finish(kernels::Backend& ops, tensor::TypedSpan x) override;

 private:
  struct Layer {
    kernels::Norm attention_norm;
    kernels::Linear query_key_value;
    kernels::HeadNorms head_norms;
    kernels::Linear attention_output;
    kernels::Norm after_attention;  // without scale: none
    kernels::Norm middle_norm;
    kernels::Linear gate_up;
    kernels::Linear down;
    kernels::Norm after_middle;  // as after_attention
    bool local = false;
  };

  Layer bind_layer(const ModelSpec& spec, WeightSource& weights, std::uint32_t index) const;
  kernels::Norm bind_norm(const ModelSpec& spec, WeightSource& weights, const std::string& name,
                          std::size_t columns, float times = 1) const;
  // out = x + attention(norm(x))
  void attend(kernels::Backend& ops, const Layer& layer, std::span<const std::uint32_t> cu_seqlens,
              tensor::TypedView x, tensor::TypedSpan out);
  // out = what multiply(residual, out) makes, a sum with the residual, or, if there is a norm,
  // without it, normalized before the sum.
  template <class Multiply>
  void finish(kernels::Backend& ops, const kernels::Norm& norm, tensor::TypedView residual,
              tensor::TypedSpan out, Multiply multiply);
  // out = x + down(gate(up(norm(x))))
  void run_middle(kernels::Backend& ops, const Layer& layer, tensor::TypedView x,
                  tensor::TypedSpan out);

  std::size_t hidden_;
  std::size_t intermediate_;  // of this rank
  bool gemma_;
  kernels::AttentionShape global_, local_;
  RotaryTable global_rotary_, local_rotary_;
  kernels::Embedding embedding_;
  std::vector<Layer> layers_;
  kernels::Norm final_norm_;

  tensor::Buffer attended_;     // [tokens, hidden]
  tensor::Buffer normed_;       // [tokens or block, hidden]
  tensor::Buffer heads_input_;  // [tokens, (heads + 2 * kv_heads) * head_size]
  tensor::Buffer context_;      // [tokens, heads * head_size]
  tensor::Buffer wide_;         // [block, 2 * intermediate]
  tensor::Buffer gated_;        // [block, intermediate]
  tensor::Buffer unfinished_;   // [tokens or block, hidden]
};

}  // namespace sheaf::model
