#include <fmt/core.h>
#include <fmt/ranges.h>

#include "kernels/cpu/cpu.h"
#include "kernels/ops.h"
#include "kernels/reference/reference.h"

namespace sheaf::kernels {

std::vector<std::string> backend_names() {
  std::vector<std::string> names;
  for (const cpu::Kernels* kernels : usable_cpu_kernels()) names.emplace_back(kernels->name);
  names.emplace_back("reference");
  return names;
}

Result<std::unique_ptr<Backend>> make_backend(const std::string& name, BackendOptions options) {
  for (const cpu::Kernels* kernels : usable_cpu_kernels())
    if (kernels->name == name) return make_cpu_backend(*kernels, options);
  if (name == "reference") return make_reference_backend(options);
  return Error{ErrorCode::unsupported,
               fmt::format("this processor cannot run backend '{}'; it can run: {}", name,
                           fmt::join(backend_names(), ", "))};
}

}  // namespace sheaf::kernels
