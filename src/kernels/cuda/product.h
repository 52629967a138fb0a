#pragma once

#include <cstddef>
#include <memory>

#include "base/result.h"
#include "kernels/cuda/device.h"
#include "kernels/ops.h"
#include "tensor/dtype.h"

namespace sheaf::kernels::cuda {

// out = activation(x W^T + bias) + residual, of which one at most is there: rows of T in, float32
// sums, results in float32 or T. x [rows, inputs] and weight [outputs, inputs] lie at multiples of
// 16 bytes, as do all their rows; out and residual [rows, outputs] where they like. All on the
// device.
struct ProductTask {
  const void* x = nullptr;
  std::size_t x_stride = 0;  // elements
  const void* weight = nullptr;
  std::size_t weight_stride = 0;   // elements
  Dtype results = Dtype::float32;  // of bias, residual and out: float32, or that of T
  const void* bias = nullptr;      // [outputs]; null: none
  const void* residual = nullptr;  // null: none; may be out
  std::size_t residual_stride = 0;
  Activation activation = Activation::none;  // of which gelu may be its approximation by tanh
  void* out = nullptr;
  std::size_t out_stride = 0;
  std::size_t rows = 0, inputs = 0, outputs = 0;
};

// Products by cuBLASLt, which tests play (emulation/cublaslt.h). What fails shows in the device's
// status().
class Product {
 public:
  virtual ~Product() = default;
  // False: without the activation, which is left to the caller.
  virtual bool run(const ProductTask& task) = 0;
};

// Whether cuBLASLt has products with it; for none, none is needed.
constexpr bool library_activates(Activation activation) {
  return activation == Activation::none || activation == Activation::relu ||
         activation == Activation::gelu || activation == Activation::gelu_tanh;
}

// What a product keeps of the card's memory beside its task: as much as Hopper's algorithms ask for
// at most (NVIDIA's documentation of cublasSetWorkspace).
inline constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;

// In T: float, Bfloat16 or Half. The device must outlive it.
template <class T>
std::unique_ptr<Product> make_product(Device& device);

}  // namespace sheaf::kernels::cuda
