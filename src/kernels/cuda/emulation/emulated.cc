#include "kernels/cuda/emulation/emulated.h"

#include <cstring>
#include <iterator>
#include <map>
#include <string>
#include <utility>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/memory_share.h"

namespace sheaf::kernels::cuda {
namespace {

class EmulatedDevice final : public Device {
 public:
  explicit EmulatedDevice(EmulatedCard card) : card_(card), stream_{card.order} {}

  void* allocate(std::size_t bytes) override {
    if (!share_.has_room(bytes)) {
      fail(share_.refusal(bytes));
      return nullptr;
    }
    void* block = tensor::host_memory().allocate(bytes);
    std::memset(block, 0xff, bytes);  // no number: nothing may be read before it is written
    blocks_[static_cast<const std::byte*>(block)] = bytes;
    share_.add(block, bytes);
    return block;
  }
  void release(void* block) override {
    if (block == nullptr) return;
    share_.remove(block);
    blocks_.erase(static_cast<const std::byte*>(block));
    tensor::host_memory().release(block);
  }
  void write(const void* host, std::size_t bytes, void* to) override {
    if (status_.ok()) std::memcpy(to, host, bytes);
  }
  void read(const void* from, std::size_t bytes, void* host) override {
    if (status_.ok()) std::memcpy(host, from, bytes);
  }

  Stream stream() const override { return &stream_; }
  Status status() const override { return status_; }
  void fail(Error error) override {
    if (status_.ok()) status_ = std::move(error);
  }

  bool owns(const void* address) const override {
    if (!card_.own_memory_only) return true;
    const auto* at = static_cast<const std::byte*>(address);
    const auto behind = blocks_.upper_bound(at);
    return behind != blocks_.begin() && at < std::prev(behind)->first + std::prev(behind)->second;
  }

 private:
  EmulatedCard card_;
  emulation::EmulatedStream stream_;
  Status status_;
  MemoryShare share_;
  std::map<const std::byte*, std::size_t> blocks_;
};

}  // namespace

std::vector<DeviceBackend> emulated_backends(EmulatedCard card) {
  std::vector<DeviceBackend> backends;
  for (const Dtype dtype : kCardDtypes) {
    const std::string name = "emulated cuda " + std::string(name_of(dtype));
    backends.push_back(
        {name, dtype, [=](BackendOptions options) -> Result<std::unique_ptr<Backend>> {
           return make_backend_on(std::make_unique<EmulatedDevice>(card), name, dtype, options);
         }});
  }
  return backends;
}

}  // namespace sheaf::kernels::cuda
