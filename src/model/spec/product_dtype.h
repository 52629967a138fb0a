#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/spec/spec.h"

namespace sheaf::model {

// The layers whose feed-forward parts are computed in fp8 where a model is: ascending numbers of
// the whole model's; nothing: all of them. What is left out is computed in bfloat16.
using Fp8Layers = std::optional<std::vector<std::uint32_t>>;

bool is_in_fp8(const Fp8Layers& layers, std::uint32_t layer);

// Error of kind invalid_argument, which names the number: not ascending, or none of the model's.
Status check_fp8_layers(const ModelSpec& spec, const Fp8Layers& layers);

// What a model's products are computed in, in the one form that --dtype, files and answers have:
// "int8", "fp8", or with its layers "fp8:0,2-4".
struct ProductDtype {
  std::string name;
  Fp8Layers fp8_layers = {};
};

// Any name is taken; of layers the error names what is wrong. They are fewer than kMaxLayers.
Result<ProductDtype> parse_product_dtype(std::string_view text);
std::string text_of(const ProductDtype& dtype);

// The name alone, of a text that need not be sound.
std::string_view dtype_name_in(std::string_view text);

}  // namespace sheaf::model
