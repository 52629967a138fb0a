#pragma once

#include <array>
#include <cstddef>
#include <map>
#include <utility>

#include "kernels/cuda/device.h"
#include "kernels/cuda/launcher.h"
#include "kernels/cuda/product_search.h"

namespace sheaf::kernels::cuda {

// Which of two ways to the same result is faster: apart, by the library's products and what else it
// takes, or in one kernel by warpgroups. By the clock, once for batches of about so many rows. The
// device must outlive it.
class FasterWay {
 public:
  // What the times depend on besides.
  using Shape = std::array<std::size_t, 3>;

  explicit FasterWay(Device& device) : device_(device) {}

  // Whether it is the one kernel without asking the clock.
  bool always_in_one() const { return always_in_one_; }

  // Of one row at least. Both may be called several times.
  template <class Apart, class InOne>
  bool is_in_one(std::size_t rows, const Shape& shape, const Apart& apart, const InOne& in_one) {
    if (always_in_one_) return true;
    const Likes likes = {rows_of_search(rows), shape};
    if (const auto found = found_.find(likes); found != found_.end()) return found->second;
    const auto time = [this](const auto& way) {
      way();  // so that the card loads its code
      return shortest([&] { return device_.time(way); });
    };
    const std::array<float, 2> times = {time(apart), time(in_one)};
    return found_[likes] = fastest(times) == 1;
  }

 private:
  using Likes = std::pair<std::size_t, Shape>;

  Device& device_;
  const bool always_in_one_ = warpgroups_are("always");
  std::map<Likes, bool> found_;
};

}  // namespace sheaf::kernels::cuda
