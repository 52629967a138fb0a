#pragma once

#include <memory>
#include <vector>

#include "kernels/cpu/kernels.h"
#include "kernels/ops.h"

namespace sheaf::kernels {

// The instruction sets that this processor can run, widest first.
std::vector<const cpu::Kernels*> usable_cpu_kernels();

// Splits the operations into pieces, runs them on a pool of threads with the given kernels (which
// must be usable here and outlive the backend).
std::unique_ptr<Backend> make_cpu_backend(const cpu::Kernels& kernels,
                                          const BackendOptions& options);

}  // namespace sheaf::kernels
