#pragma once

#include "kernels/cuda/int8_product.cuh"
#include "kernels/cuda/launcher.h"
#include "kernels/cuda/product.h"

namespace sheaf::kernels::cuda {

// Products in int8 by multiply_int8(): whole, with all behind them. The device must outlive it.
class Int8Product final : public Product {
 public:
  explicit Int8Product(Device& device) : launcher_(device) {}

  bool finishes_all() const override { return true; }
  Left run(const ProductTask& task) override {
    if (task.results == Dtype::float32)
      launch<float>(task);
    else
      launch<Bfloat16>(task);
    return Left::nothing;
  }

 private:
  template <class E>
  void launch(const ProductTask& task) const {
    const Int8Task<E> own = {
        .x = {static_cast<const Int8*>(task.x), task.x_scales, narrow(task.rows)},
        .weight = {static_cast<const Int8*>(task.weight), task.weight_scales, narrow(task.outputs)},
        .blocks = blocks_of(task.inputs, kInt8Block),
        .bias = static_cast<const E*>(task.bias),
        .residual = {static_cast<const E*>(task.residual), task.residual_stride},
        .activation = task.activation,
        .out = {static_cast<E*>(task.out), task.out_stride}};
    const Rows<const E> bias = {own.bias, 0};
    const bool wide = task.outputs % kWide == 0 && lies_at<16>(own.out) &&
                      lies_at<16>(own.residual) && lies_at<16>(bias);
    launcher_.give(wide ? multiply_int8<kWide, E> : multiply_int8<1, E>,
                   Grid{blocks_of(task.rows, kInt8Tile) * blocks_of(task.outputs, kInt8Tile)},
                   kInt8Threads, kInt8SharedBytes, own);
  }

  const Launcher launcher_;
};

}  // namespace sheaf::kernels::cuda
