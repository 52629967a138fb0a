#pragma once

#include <cstddef>
#include <cstdlib>
#include <string_view>

#include "kernels/cuda/device.h"
#include "kernels/cuda/warpgroup_mma.cuh"

namespace sheaf::kernels::cuda {

constexpr unsigned narrow(std::size_t n) { return static_cast<unsigned>(n); }
constexpr unsigned blocks_of(std::size_t n, std::size_t per_block) {
  return narrow((n + per_block - 1) / per_block);
}

// The address, after a look whether it is the device's, which fails if not.
template <class Number>
const Number* checked(Device& device, const Number* address) {
  if (address != nullptr && !device.owns(address))
    device.fail({ErrorCode::internal, "an operand is not in the device's memory"});
  return address;
}

// SHEAF_CUDA_WARPGROUPS, of whoever runs it: "0" does without kernels by warpgroups, "always" takes
// them wherever they compute what is asked for, however fast they are, so that tests on a card find
// them.
inline bool warpgroups_are(std::string_view wanted) {
  const char* const said = std::getenv("SHEAF_CUDA_WARPGROUPS");
  return said != nullptr && said == wanted;
}

// Whether it is a card for whose warpgroups there is code.
inline bool has_warpgroups(const Device& device) {
  return kWarpgroupsBuilt && device.compute_capability() == kWarpgroupCapability &&
         !warpgroups_are("0");
}

// Gives kernels to a device, in the grids that most of them have; nothing once the device has
// failed. The device must outlive it.
class Launcher {
 public:
  explicit Launcher(Device& device) : device_(device) {}

  template <class Task>
  void give(void (*kernel)(Task), Grid grid, unsigned threads, std::size_t shared_bytes,
            const Task& task) const {
    if (!device_.status().ok()) return;
    device_.give([&](Stream stream) {
      launch(stream, kernel, grid, threads, shared_bytes, task);
      return true;
    });
  }
  template <class Task>
  void blocks(void (*kernel)(Task), Grid grid, const Task& task) const {
    give(kernel, grid, kThreadsPerBlock, 0, task);
  }
  // A thread for each column of each row, or for kWide of them.
  template <class Task>
  void columns(bool wide, void (*by_many)(Task), void (*by_one)(Task), std::size_t rows,
               std::size_t columns, const Task& task) const {
    const std::size_t threads = rows * columns / (wide ? kWide : 1);
    blocks(wide ? by_many : by_one, {blocks_of(threads, kThreadsPerBlock)}, task);
  }
  // One warp a row.
  template <class Task>
  void rows(void (*kernel)(Task), std::size_t rows, const Task& task) const {
    give(kernel, Grid{blocks_of(rows, kRowsPerBlock)}, kRowsPerBlock * kWarpSize, 0, task);
  }

 private:
  Device& device_;
};

}  // namespace sheaf::kernels::cuda
