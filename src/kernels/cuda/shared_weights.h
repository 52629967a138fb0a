#pragma once

#include <cstddef>
#include <span>

#include "kernels/cuda/device.h"
#include "kernels/cuda/exported_memory.h"
#include "kernels/shared_copy.h"

namespace sheaf::kernels::cuda {

// Memory::share() of a card: maps what `copy` was given, or makes one and writes `host` to it.
// Whoever made what was given is believed nothing: it has to be as long as `host` and to begin with
// its head. What only its tensors would show is not looked at. Null where neither can be: `copy`
// says why, and the device is as it was.
const std::byte* share_weights(Device& device, ExportedMemory& memory, SharedCopy& copy,
                               std::span<const std::byte> host, std::size_t head_bytes);

}  // namespace sheaf::kernels::cuda
