#include "kernels/cuda/product.h"

#include <iterator>
#include <numeric>
#include <vector>

#include "kernels/cuda/activation.cuh"

namespace sheaf::kernels::cuda {
namespace {

// What a library computes on a card; summed up more exactly than it does.
template <class T>
class HostProduct final : public Product {
 public:
  bool run(const ProductTask& task) override {
    if (task.results == Dtype::float32)
      multiply<float>(task);
    else
      multiply<T>(task);
    return library_activates(task.activation);
  }

 private:
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
};

}  // namespace

template <class T>
std::unique_ptr<Product> make_product(Device&) {
  return std::make_unique<HostProduct<T>>();
}
template std::unique_ptr<Product> make_product<float>(Device&);
template std::unique_ptr<Product> make_product<Bfloat16>(Device&);
template std::unique_ptr<Product> make_product<Half>(Device&);

}  // namespace sheaf::kernels::cuda
