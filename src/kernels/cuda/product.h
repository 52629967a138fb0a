#pragma once

#include <cstddef>
#include <memory>

#include "base/result.h"
#include "kernels/cuda/card_findings.h"
#include "kernels/cuda/device.h"
#include "kernels/ops.h"
#include "tensor/buffer.h"
#include "tensor/dtype.h"

namespace sheaf::kernels::cuda {

// out = activation(x W^T + bias) + residual, of which one at most is there: rows of T in, float32
// sums, results in float32 or T; of fp8 and int8 in float32 or bfloat16, of fp8 perhaps in fp8. x
// [rows, inputs] and weight [outputs, inputs] lie at multiples of 16 bytes, as do all their rows;
// out and residual [rows, outputs] where they like, unless T is fp8: then as the others, and inputs
// and outputs are multiples of 16. All on the device.
struct ProductTask {
  const void* x = nullptr;
  std::size_t x_stride = 0;  // elements
  const void* weight = nullptr;
  std::size_t weight_stride = 0;  // elements
  // What x and weight were divided by in fp8 and int8, as quantize.cuh has it; else null.
  const float* x_scales = nullptr;
  const float* weight_scales = nullptr;
  bool one_scale = false;          // each of them one number for all rows
  Dtype results = Dtype::float32;  // of bias, residual and out; fp8: of out, and of bias bfloat16
  const float* out_scale_inverse = nullptr;  // by which results in fp8 are multiplied; else null
  const void* bias = nullptr;                // [outputs]; null: none
  const void* residual = nullptr;            // null: none; may be out
  std::size_t residual_stride = 0;
  Activation activation = Activation::none;  // of which gelu may be its approximation by tanh
  void* out = nullptr;
  std::size_t out_stride = 0;
  std::size_t rows = 0, inputs = 0, outputs = 0;
};

// What a product leaves to its caller. Of fp8 it may be all but x W^T as it lies, undivided: there
// `out` is that alone. Of one with results in fp8 it is nothing, or all: then the library has no
// such product, and nothing was written.
enum class Left { nothing, activation, scales_and_all_behind, all };

// Products by cuBLASLt, which tests play (emulation/cublaslt.h), or in int8 (int8_product.h). What
// fails shows in the device's status().
class Product {
 public:
  virtual ~Product() = default;
  virtual Left run(const ProductTask& task) = 0;
  // Whether any activation may be asked for, exact, and a residual behind it.
  virtual bool finishes_all() const { return false; }
};

// Whether cuBLASLt has products with it; for none, none is needed.
constexpr bool library_activates(Activation activation) {
  return activation == Activation::none || activation == Activation::relu ||
         activation == Activation::gelu || activation == Activation::gelu_tanh;
}

// What products keep of the card's memory beside their tasks: as much as Hopper's algorithms ask
// for at most (NVIDIA's documentation of cublasSetWorkspace).
inline constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;

// In T: float, Bfloat16, Half or Fp8. Device and workspace, which products on one device share, and
// findings, which those on one card do, must outlive it.
template <class T>
std::unique_ptr<Product> make_product(Device& device, tensor::Buffer& workspace,
                                      CardFindings& findings);

}  // namespace sheaf::kernels::cuda
