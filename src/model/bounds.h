#pragma once

#include <vector>

#include "tensor/matrix.h"

// How large numbers can become whatever the text is, from weights alone. What a norm writes is
// scale[i] * z[i] + shift[i], where the squares of the n numbers z sum up to n at most, so that
// none is larger than their root, nor a sum of products with them larger than that root times the
// length of the other factors (Cauchy-Schwarz). Activations that are no larger than what they are
// taken of (GELU, ReLU, SiLU) keep a bound.
namespace sheaf::model {

// What a norm multiplies by and adds, as it is computed with.
struct NormValues {
  std::vector<float> scale;
  std::vector<float> shift;  // empty: nothing
};

float largest_of(const NormValues& norm);

// Of x W^T + b, where x is what the norm writes; weight [outputs, inputs], bias [outputs], null:
// none. Holds of x and weights rounded to states and to fp8 too, where the largest of each is 448:
// by 1/15 of itself, and by half a step of the smallest. At most 1e30.
float largest_of_product(const NormValues& norm, tensor::MatrixView weight, const float* bias);

}  // namespace sheaf::model
