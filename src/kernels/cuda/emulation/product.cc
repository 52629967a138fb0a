#include "kernels/cuda/product.h"

#include <iterator>
#include <numeric>
#include <type_traits>
#include <vector>

#include "kernels/cuda/activation.cuh"

namespace sheaf::kernels::cuda {
namespace {

// What a library computes on a card; summed up more exactly than it does. Of fp8 it scales where
// cuBLASLt does.
template <class T>
class HostProduct final : public Product {
  static constexpr bool kFp8 = std::is_same_v<T, Fp8>;

 public:
  explicit HostProduct(const Device& device) : scales_(device.compute_capability() == 90) {}

  Left run(const ProductTask& task) override {
    const bool alone = kFp8 && !scales_;
    const ProductTask done = alone ? product_alone(task) : task;
    if (task.results == Dtype::float32)
      multiply<float>(done);
    else
      multiply<std::conditional_t<kFp8, Bfloat16, T>>(done);
    if (alone) return Left::scales_and_all_behind;
    return library_activates(task.activation) ? Left::nothing : Left::activation;
  }

 private:
  static ProductTask product_alone(ProductTask task) {
    task.x_scales = task.weight_scales = nullptr;
    task.bias = task.residual = nullptr;
    task.activation = Activation::none;
    return task;
  }
  static float activated(Activation activation, float x) {
    if (activation == Activation::gelu) activation = Activation::gelu_tanh;
    return library_activates(activation) ? activate(activation, x) : x;
  }

  template <class R>
  static void multiply(const ProductTask& task) {
    const std::vector<float> weight =
        floats(task.weight, task.outputs, task.weight_stride, task.inputs);
    const std::vector<float> x = floats(task.x, task.rows, task.x_stride, task.inputs);
    const auto* bias = static_cast<const R*>(task.bias);
    const auto* residual = static_cast<const R*>(task.residual);
    auto* out = static_cast<R*>(task.out);
    for (std::size_t t = 0; t < task.rows; ++t)
      for (std::size_t n = 0; n < task.outputs; ++n) {
        double sum = product(&x[t * task.inputs], &weight[n * task.inputs], task.inputs);
        if (task.x_scales != nullptr) sum *= double{task.x_scales[t]} * task.weight_scales[n];
        if (bias != nullptr) sum += to_float(bias[n]);
        float value = activated(task.activation, static_cast<float>(sum));
        if (residual != nullptr) value += to_float(residual[t * task.residual_stride + n]);
        out[t * task.out_stride + n] = from_float<R>(value);
      }
  }

  static std::vector<float> floats(const void* matrix, std::size_t rows, std::size_t stride,
                                   std::size_t columns) {
    std::vector<float> values;
    values.reserve(rows * columns);
    for (std::size_t i = 0; i < rows; ++i)
      for (std::size_t j = 0; j < columns; ++j)
        values.push_back(to_float(static_cast<const T*>(matrix)[i * stride + j]));
    return values;
  }

  // In several sums at once, which is the faster the more there are.
  static double product(const float* a, const float* b, std::size_t count) {
    constexpr std::size_t kSums = 8;
    double sums[kSums] = {};
    std::size_t i = 0;
    for (; i + kSums <= count; i += kSums)
      for (std::size_t j = 0; j < kSums; ++j) sums[j] += double{a[i + j]} * b[i + j];
    for (; i < count; ++i) sums[0] += double{a[i]} * b[i];
    return std::accumulate(std::begin(sums), std::end(sums), 0.0);
  }

  const bool scales_;
};

}  // namespace

template <class T>
std::unique_ptr<Product> make_product(Device& device, tensor::Buffer& /*workspace*/) {
  return std::make_unique<HostProduct<T>>(device);
}
template std::unique_ptr<Product> make_product<float>(Device&, tensor::Buffer&);
template std::unique_ptr<Product> make_product<Bfloat16>(Device&, tensor::Buffer&);
template std::unique_ptr<Product> make_product<Half>(Device&, tensor::Buffer&);
template std::unique_ptr<Product> make_product<Fp8>(Device&, tensor::Buffer&);

}  // namespace sheaf::kernels::cuda
