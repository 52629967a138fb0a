#pragma once

#include <cstddef>

#include "kernels/cuda/faster_way.h"
#include "kernels/cuda/gated_product.cuh"
#include "kernels/cuda/launcher.h"

namespace sheaf::kernels::cuda {

// Which of the two ways to a product with a gate behind it is faster: the library's product and a
// kernel for the gate, or multiply_gated(). The device and what was found must outlive it.
class GatedChoice {
 public:
  GatedChoice(Device& device, Findings<bool>& in_one)
      : device_(device), here_(has_warpgroups(device)), faster_(device, in_one) {}

  // Whether multiply_gated() can do it, and all of the card has something to do: what takes no
  // longer than its launch cannot be timed.
  bool takes(const GatedTask& task, Activation activation) const {
    const bool fills = blocks(task) >= device_.multiprocessors() || faster_.always_in_one();
    return here_ && fills && task.columns % kGatedColumns == 0 && task.inputs % kGatedInputs == 0 &&
           lies_at<16>(task.x) && lies_at<16>(task.weight) && lies_at<16>(task.out) &&
           (activation == Activation::silu || activation == Activation::gelu ||
            activation == Activation::gelu_tanh);
  }
  // Of a task that it takes, of one row at least. `apart` does it in the other way, and may be
  // called several times.
  template <class Apart>
  void run(const GatedTask& task, Activation activation, const Apart& apart) {
    const auto in_one = [&] { launch(task, activation); };
    const FasterWay::Shape shape = {task.inputs, task.columns,
                                    static_cast<std::size_t>(activation)};
    if (faster_.is_in_one(task.rows, shape, apart, in_one))
      in_one();
    else
      apart();
  }

 private:
  static unsigned blocks(const GatedTask& task) {
    return blocks_of(task.rows, kGatedRows) * (task.columns / kGatedColumns);
  }

  void launch(const GatedTask& task, Activation activation) const {
    device_.begin_operation();
    const auto give = [&](void (*kernel)(GatedTask)) {
      launcher_.give(kernel, {blocks(task)}, kWarpgroups * kWarpgroup, kGatedSharedBytes, task);
    };
    if (activation == Activation::silu) return give(multiply_gated<Activation::silu>);
    if (activation == Activation::gelu) return give(multiply_gated<Activation::gelu>);
    give(multiply_gated<Activation::gelu_tanh>);
  }

  Device& device_;
  const Launcher launcher_{device_};
  const bool here_;
  FasterWay faster_;
};

}  // namespace sheaf::kernels::cuda
