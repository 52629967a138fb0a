#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "kernels/ops.h"
#include "model/spec/spec.h"
#include "model/weights.h"

namespace sheaf::model {

// An architecture over the operations: one readable file each. One thread at a time.
class Model {
 public:
  virtual ~Model() = default;

  // Hidden states [tokens, hidden] of the texts, in ops.state_dtype(); valid until the next call.
  // Ids and lengths are checked by the caller.
  virtual tensor::TypedView forward(kernels::Backend& ops, const kernels::Texts& texts) = 0;
};

// The model that `spec` describes, its weights bound; whether all were there is in
// weights.status(). Views stay valid as long as their source's memory.
std::unique_ptr<Model> make_model(const ModelSpec& spec, WeightSource& weights);

}  // namespace sheaf::model
