#pragma once

#include <array>
#include <cstddef>

#include "kernels/cuda/device.h"
#include "kernels/cuda/launcher.h"
#include "kernels/cuda/product_search.h"
#include "kernels/findings.h"

namespace sheaf::kernels::cuda {

// Which of two ways to the same result is faster: apart, by the library's products and what else it
// takes, or in one kernel by warpgroups. By the clock, once for batches of about so many rows, on
// all backends that share `in_one`. That and the device must outlive it.
class FasterWay {
 public:
  // What the times depend on besides.
  using Shape = std::array<std::size_t, 3>;

  FasterWay(Device& device, Findings<bool>& in_one) : device_(device), in_one_(in_one) {}

  // Whether it is the one kernel without asking the clock.
  bool always_in_one() const { return always_in_one_; }

  // Of one row at least. Both may be called several times.
  template <class Apart, class InOne>
  bool is_in_one(std::size_t rows, const Shape& shape, const Apart& apart, const InOne& in_one) {
    if (always_in_one_) return true;
    const Findings<bool>::Question likes = {rows_of_search(rows), shape[0], shape[1], shape[2]};
    if (const auto found = in_one_.find(likes)) return *found;
    const auto time = [this](const auto& way) {
      way();  // so that the card loads its code
      return shortest([&] { return device_.time(way); });
    };
    const std::array<float, 2> times = {time(apart), time(in_one)};
    const bool faster = fastest(times) == 1;
    return device_.status().ok() ? in_one_.keep(likes, faster) : faster;
  }

 private:
  Device& device_;
  const bool always_in_one_ = warpgroups_are("always");
  Findings<bool>& in_one_;
};

}  // namespace sheaf::kernels::cuda
