#pragma once

#include <cstddef>
#include <type_traits>

#include "kernels/cuda/faster_way.h"
#include "kernels/cuda/fused_feed_forward.cuh"
#include "kernels/cuda/launcher.h"

namespace sheaf::kernels::cuda {

// Which of the two ways through a layer's feed-forward part and the norm behind it is faster: the
// library's two products and a kernel for the norm, or fused_feed_forward.cuh. The device and what
// was found must outlive it.
class FeedForwardChoice {
 public:
  FeedForwardChoice(Device& device, Findings<bool>& in_one)
      : device_(device), here_(has_warpgroups(device)), faster_(device, in_one) {}

  // Whether it can be done in one, and half of the card has something to do, without which that
  // cannot be faster.
  bool takes(const FeedForwardTask& task, Activation activation) const {
    const auto lies = [](const auto* vector) {
      return lies_at<16>(Rows<std::remove_pointer_t<decltype(vector)>>{vector, 0});
    };
    const bool fills = 2 * blocks(task) > device_.multiprocessors() || faster_.always_in_one();
    return here_ && fills && task.norm.columns == kFedColumns && task.middle > 0 &&
           task.middle % kFedChunk == 0 && lies_at<16>(task.x) && lies_at<16>(task.out) &&
           lies(task.up) && lies(task.down) && lies(task.up_bias) && lies(task.down_bias) &&
           lies(task.norm.scale) && lies(task.norm.shift) &&
           (activation == Activation::gelu || activation == Activation::gelu_tanh);
  }
  // Of a task that it takes, of one row at least. `apart` does it in the other way.
  template <class Apart>
  bool is_in_one(const FeedForwardTask& task, const Apart& apart) {
    return faster_.is_in_one(task.rows, {task.middle}, apart, [&] { run(task); });
  }
  // By the approximation of GELU, as the library's products behind which states are bfloat16.
  void run(const FeedForwardTask& task) const {
    device_.begin_operation();
    launcher_.give(feed_forward<Activation::gelu_tanh>, {blocks(task)}, kWarpgroups * kWarpgroup,
                   FedMemory::kBytes, task);
  }

 private:
  static unsigned blocks(const FeedForwardTask& task) { return blocks_of(task.rows, kFedRows); }

  Device& device_;
  const Launcher launcher_{device_};
  const bool here_;
  FasterWay faster_;
};

}  // namespace sheaf::kernels::cuda
