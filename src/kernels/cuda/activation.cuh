#pragma once

#include "kernels/cuda/target.cuh"
#include "kernels/ops.h"

namespace sheaf::kernels::cuda {

// Within the bounds that Activation states, by the functions of CUDA's library that are exact to
// two units in the last place.
__device__ inline float activate(Activation activation, float x) {
  switch (activation) {
    case Activation::none:
      return x;
    case Activation::gelu:
      return 0.5f * x * (1 + erff(x * 0.70710678f));
    case Activation::gelu_tanh:  // (1 + tanh(y)) / 2 = 1 / (1 + e^-2y)
      return __fdividef(x, 1 + fast_exp2(-x * (2.3022082f + 0.10294324f * x * x)));
    case Activation::silu:
      return __fdividef(x, 1 + expf(-x));
    case Activation::tanh:
      return tanhf(x);
    case Activation::relu:
      return x < 0 ? 0 : x;
  }
  return x;
}

}  // namespace sheaf::kernels::cuda
