#pragma once

#include <memory>

#include "kernels/cuda/exported_memory.h"

namespace sheaf::kernels::cuda {

// By CUDA's virtual memory management on the first card that is visible, whose context has to be
// there. What is mapped of others is read only where the driver can.
std::unique_ptr<ExportedMemory> driver_memory();

}  // namespace sheaf::kernels::cuda
