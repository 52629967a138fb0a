#include "kernels/cuda/product.h"

namespace sheaf::kernels::cuda {
namespace {

// What a library computes on a card; summed up more exactly than it does.
template <class T>
class HostProduct final : public Product {
 public:
  void run(const ProductTask& task) override {
    for (std::size_t t = 0; t < task.rows; ++t)
      for (std::size_t n = 0; n < task.outputs; ++n) {
        float value = static_cast<float>(sum(task, t, n));
        if (task.residual != nullptr) value += task.residual[t * task.residual_stride + n];
        task.out[t * task.out_stride + n] = value;
      }
  }

 private:
  static double sum(const ProductTask& task, std::size_t t, std::size_t n) {
    const T* x = static_cast<const T*>(task.x) + t * task.x_stride;
    const T* weight = static_cast<const T*>(task.weight) + n * task.weight_stride;
    double sum = task.bias == nullptr ? 0 : task.bias[n];
    for (std::size_t k = 0; k < task.inputs; ++k)
      sum += double{to_float(x[k])} * to_float(weight[k]);
    return sum;
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
