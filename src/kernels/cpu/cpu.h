#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/cpu/kernels.h"
#include "kernels/ops.h"

namespace sheaf::kernels {

// Operations by one instruction set, products with weights by the same or another one.
struct CpuBackend {
  std::string name;
  const cpu::Kernels* kernels;
  const cpu::LinearKernels* linear;
};

// What this processor can run, of each dtype the fastest first.
std::vector<CpuBackend> usable_cpu_backends();

// Splits the operations into pieces and runs them on a pool of threads. The kernels must be usable
// here and outlive the backend.
std::unique_ptr<Backend> make_cpu_backend(const CpuBackend& what, const BackendOptions& options);

}  // namespace sheaf::kernels
