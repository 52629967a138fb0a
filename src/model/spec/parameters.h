#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "model/spec/spec.h"

namespace sheaf::model {

// int8 packs the inputs of an output in blocks of so many, the last one filled up, each with a
// scale (kernels/cpu/int8.h).
inline constexpr std::uint64_t kInt8Block = 128;
inline std::uint64_t int8_blocks(std::uint64_t inputs) {
  return (inputs + kInt8Block - 1) / kInt8Block;
}

// The numbers that a model has learnt, by what is done with them, as a dtype changes only some.
struct ParameterCount {
  std::uint64_t products = 0;  // matrices that a token is multiplied with
  std::uint64_t blocks = 0;    // of int8 that they make
  std::uint64_t tables = 0;    // rows looked up: words, positions, token types, distances
  std::uint64_t vectors = 0;   // biases and norms

  std::uint64_t total() const { return products + tables + vectors; }
};

// From the headers of the weights in `folder`, whose spec is `spec`. The output matrix of a
// language model is left out, as it is not loaded. Errors name the file.
Result<ParameterCount> count_parameters(const std::string& folder, const ModelSpec& spec);

}  // namespace sheaf::model
