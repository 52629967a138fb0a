#include "kernels/cuda/shared_weights.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace sheaf::kernels::cuda {
namespace {

Result<const std::byte*> map_given(Device& device, ExportedMemory& memory, int descriptor,
                                   std::span<const std::byte> host, std::size_t head_bytes) {
  SHEAF_ASSIGN(const std::byte* const data, memory.map(descriptor, host.size()));
  std::vector<std::byte> head(std::min(head_bytes, host.size()));
  device.read(data, head.size(), head.data());
  SHEAF_TRY(device.status());
  if (std::equal(head.begin(), head.end(), host.begin())) return data;
  return Error{ErrorCode::corrupt, "the weights on the card are of another model or layout"};
}

}  // namespace

const std::byte* share_weights(Device& device, ExportedMemory& memory, SharedCopy& copy,
                               std::span<const std::byte> host, std::size_t head_bytes) {
  if (copy.given) {
    const auto mapped = map_given(device, memory, copy.given.get(), host, head_bytes);
    if (mapped.ok()) return *mapped;
    copy.given.reset();
    copy.trouble = mapped.error().message;
  }
  auto made = memory.make(host.size());
  if (!made.ok()) {
    copy.trouble = made.error().message;
    return nullptr;
  }
  device.write(host.data(), host.size(), made->data);
  copy.made = std::move(made->descriptor);
  return made->data;
}

}  // namespace sheaf::kernels::cuda
