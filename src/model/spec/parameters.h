#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "model/spec/spec.h"

namespace sheaf::model {

// The numbers that a model has learnt, by what is done with them, as a dtype changes only some.
struct ParameterCount {
  std::uint64_t products = 0;  // matrices that a token is multiplied with
  std::uint64_t tables = 0;    // rows looked up: words, positions, token types, distances
  std::uint64_t vectors = 0;   // biases and norms

  std::uint64_t total() const { return products + tables + vectors; }
};

// From the headers of the weights in `folder`, whose spec is `spec`. The output matrix of a
// language model is left out, as it is not loaded. Errors name the file.
Result<ParameterCount> count_parameters(const std::string& folder, const ModelSpec& spec);

}  // namespace sheaf::model
