#include "kernels/cuda/absent.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/device.h"

namespace sheaf::kernels::cuda {
namespace {

// Blocks are addresses without memory: whoever touches one is stopped by the processor.
class AbsentCard final : public Device {
 public:
  explicit AbsentCard(std::shared_ptr<CardMemoryUse> use) : use_(std::move(use)) {}
  AbsentCard(const AbsentCard&) = delete;
  AbsentCard& operator=(const AbsentCard&) = delete;
  ~AbsentCard() override {
    for (const auto& [block, bytes] : blocks_) ::munmap(block, bytes);
  }

  void* allocate(std::size_t bytes) override {
    const std::size_t mapped = std::max<std::size_t>(bytes, 1);
    void* block =
        ::mmap(nullptr, mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (block == MAP_FAILED) {
      fail({ErrorCode::too_large, "there are no addresses for " + std::to_string(bytes) +
                                      " bytes more of a card's memory"});
      return nullptr;
    }
    blocks_[block] = mapped;
    use_->now_bytes += mapped;
    use_->most_bytes = std::max(use_->most_bytes, use_->now_bytes);
    return block;
  }
  void release(void* block) override {
    const auto found = blocks_.find(block);
    if (found == blocks_.end()) return;
    ::munmap(block, found->second);
    use_->now_bytes -= found->second;
    blocks_.erase(found);
  }

  void write(const void*, std::size_t, void*) override {}
  void read(const void*, std::size_t bytes, void* host) override { std::memset(host, 0, bytes); }

  Stream stream() const override { return {}; }
  bool give(const Launch&) override { return true; }
  void begin_pass(std::span<const std::uint32_t>) override {}
  float time(const std::function<void()>&) override { return 0; }
  bool computes() const override { return false; }
  int compute_capability() const override { return 0; }
  unsigned multiprocessors() const override { return 0; }
  std::size_t shared_bytes_max() const override { return 0; }
  Result<std::unique_ptr<Sums>> join(Communicator&) override {
    return Error{ErrorCode::unsupported, "a card that is not there adds up nothing"};
  }
  Status status() const override { return status_; }
  void fail(Error error) override {
    if (status_.ok()) status_ = std::move(error);
  }
  bool owns(const void*) const override { return true; }

 private:
  std::shared_ptr<CardMemoryUse> use_;
  std::map<void*, std::size_t> blocks_;
  Status status_;
};

}  // namespace

std::vector<DeviceBackend> absent_card_backends(const std::string& prefix,
                                                const std::shared_ptr<CardMemoryUse>& use) {
  std::vector<DeviceBackend> backends;
  for (const CardPrecision& precision : kCardPrecisions) {
    const std::string name = prefix + std::string(precision.name);
    backends.push_back(
        {name, precision.dtype, [=](BackendOptions options) -> Result<std::unique_ptr<Backend>> {
           return make_backend_on(std::make_unique<AbsentCard>(use), name, precision, options,
                                  std::make_shared<CardFindings>());
         }});
  }
  return backends;
}

}  // namespace sheaf::kernels::cuda
