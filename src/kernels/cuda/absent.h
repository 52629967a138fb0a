#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/ops.h"

namespace sheaf::kernels::cuda {

// What backends without a card have taken of the memory that one would have.
struct CardMemoryUse {
  std::uint64_t now_bytes = 0;
  std::uint64_t most_bytes = 0;  // at any time
};

// Backends of a card that is not there, by the names of those that compute ("cuda bfloat16" where
// `prefix` is "cuda "): they lay weights out as those do, and count in `use` what is allocated. No
// driver is asked. Their operations do nothing; what is read of their memory is 0.
std::vector<DeviceBackend> absent_card_backends(const std::string& prefix,
                                                const std::shared_ptr<CardMemoryUse>& use);

}  // namespace sheaf::kernels::cuda
