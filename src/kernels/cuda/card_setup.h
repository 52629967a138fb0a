#pragma once

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/ops.h"
#include "kernels/parity_setup.h"
#include "kernels/staged.h"

namespace sheaf::kernels::cuda {

// How a card's backend, or an emulated one, is run through parity. `number` is in the test's name.
inline Setup parity_setup(const DeviceBackend& backend, int number) {
  return {.backend = backend.name,
          .threads = number,
          .make =
              [backend](const BackendOptions& options) {
                return std::make_unique<Staged>(std::move(*backend.make(options)));
              },
          .on_device = true,
          .states = backend.dtype == Dtype::float32 || backend.dtype == Dtype::float16
                        ? Dtype::float32
                        : Dtype::bfloat16,
          .rounds_fp8_sums = true,
          .rounds_attention =
              [](const AttentionShape& shape) {
                std::vector<std::size_t> by_matrix_units = {32, 64, 128};
                if (shape.relative.rows == nullptr) by_matrix_units.push_back(256);
                return std::ranges::count(by_matrix_units, shape.head_size) > 0;
              }};
}

}  // namespace sheaf::kernels::cuda
