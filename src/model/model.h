#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "kernels/ops.h"
#include "model/spec/spec.h"
#include "model/weights.h"

namespace sheaf::model {

// An architecture over the operations: one readable file each. Texts go through its three steps in
// order, as states x [tokens, hidden] in ops.state_dtype(); of a model that is divided into stages
// each has its own layers, the first alone embed() and the last alone finish(). One thread at a
// time. Ids and lengths are checked by the caller.
class Model {
 public:
  virtual ~Model() = default;

  // x = what the first layer reads.
  virtual void embed(kernels::Backend& ops, const kernels::Texts& texts, tensor::TypedSpan x) = 0;
  // x = what the layers that are here make of it.
  virtual void run_layers(kernels::Backend& ops, std::span<const std::uint32_t> cu_seqlens,
                          tensor::TypedSpan x) = 0;
  // x = hidden states: where they are not what the last layer leaves.
  virtual void finish(kernels::Backend& /*ops*/, tensor::TypedSpan /*x*/) {}
};

// The model that `spec` describes, or the part of it that weights.shard() names, its weights bound;
// whether all were there is in weights.status(). Views stay valid as long as their source's memory.
std::unique_ptr<Model> make_model(const ModelSpec& spec, WeightSource& weights);

}  // namespace sheaf::model
