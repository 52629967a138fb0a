#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "kernels/cpu/cpu.h"
#include "kernels/ops.h"
#include "kernels/reference/reference.h"

namespace sheaf::kernels {

namespace {

std::vector<DeviceBackend>& device_backends() {
  static std::vector<DeviceBackend> backends;
  return backends;
}

}  // namespace

void add_device_backends(std::vector<DeviceBackend> backends) {
  device_backends() = std::move(backends);
}

std::unique_ptr<Backend> make_host_backend(BackendOptions options) {
  for (const CpuBackend& backend : usable_cpu_backends())
    if (backend.linear->dtype == Dtype::float32) return make_cpu_backend(backend, options);
  return make_reference_backend(options);
}

std::vector<std::string> backend_names(Dtype dtype) {
  std::vector<std::string> names;
  for (const DeviceBackend& backend : device_backends())
    if (backend.dtype == dtype) names.push_back(backend.name);
  for (const CpuBackend& backend : usable_cpu_backends())
    if (backend.linear->dtype == dtype) names.push_back(backend.name);
  if (dtype == Dtype::float32) names.emplace_back("reference");
  return names;
}

Result<std::unique_ptr<Backend>> make_backend(const std::string& name, BackendOptions options) {
  for (const DeviceBackend& backend : device_backends())
    if (backend.name == name) return backend.make(options);
  if (name == "reference") return make_reference_backend(options);
  for (const CpuBackend& backend : usable_cpu_backends())
    if (backend.name == name) return make_cpu_backend(backend, options);
  std::vector<std::string> names;
  for (const Dtype dtype : tensor::kDtypes)
    std::ranges::copy(backend_names(dtype), std::back_inserter(names));
  return Error{ErrorCode::unsupported,
               fmt::format("this processor cannot run backend '{}'; it can run: {}", name,
                           fmt::join(names, ", "))};
}

}  // namespace sheaf::kernels
