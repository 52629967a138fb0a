#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/ops.h"
#include "model/spec/spec.h"
#include "model/weights.h"
#include "tensor/buffer.h"

namespace sheaf::model {

// Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers" (2018): the encoder,
// without pooler and heads.
class Bert {
 public:
  // Binds the weights; whether all were there is in weights.status(). Views stay valid as long as
  // their source's memory.
  Bert(const ModelSpec& spec, WeightSource& weights);

  // Hidden states [tokens, hidden] of texts laid end to end; valid until the next call. Ids and
  // lengths are checked by the caller.
  tensor::MatrixView forward(kernels::Backend& ops, std::span<const std::int32_t> ids,
                             std::span<const std::uint32_t> cu_seqlens);

 private:
  struct Layer {
    kernels::Linear query_key_value;
    kernels::Linear attention_output;
    kernels::Norm attention_norm;
    kernels::Linear up;
    kernels::Linear down;
    kernels::Norm output_norm;
  };

  Layer bind_layer(WeightSource& weights, const std::string& name) const;
  void run_layer(kernels::Backend& ops, const Layer& layer,
                 std::span<const std::uint32_t> cu_seqlens, tensor::MatrixSpan x);

  std::size_t hidden_;
  std::size_t intermediate_;
  std::size_t heads_;
  float epsilon_;
  kernels::Embedding embedding_;
  std::vector<Layer> layers_;

  tensor::Buffer states_;               // [tokens, hidden]
  tensor::Buffer heads_input_;          // [tokens, 3 * hidden]
  tensor::Buffer context_;              // [tokens, hidden]
  tensor::Buffer sum_;                  // [block, hidden]
  tensor::Buffer intermediate_states_;  // [block, intermediate]
};

}  // namespace sheaf::model
