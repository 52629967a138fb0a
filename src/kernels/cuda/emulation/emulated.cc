#include "kernels/cuda/emulation/emulated.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/mapping.h"
#include "kernels/cuda/backend.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/emulation/cublaslt.h"
#include "kernels/cuda/exported_memory.h"
#include "kernels/cuda/memory_share.h"
#include "kernels/cuda/passes.h"
#include "kernels/cuda/shared_weights.h"

namespace sheaf::kernels::cuda {
namespace {

constexpr std::size_t kFilledBytes = std::size_t{8} << 20;

// Blocks are memfds: tests count their mappings by the name.
class EmulatedExport final : public ExportedMemory {
 public:
  Result<Block> make(std::size_t bytes) override {
    SHEAF_ASSIGN(Fd descriptor, make_memfd("sheaf-card-weights", bytes));
    SHEAF_ASSIGN(Mapping mapping,
                 Mapping::map(descriptor.get(), bytes, Mapping::Access::read_write));
    mappings_.push_back(std::move(mapping));
    return Block{mappings_.back().data(), std::move(descriptor)};
  }
  Result<const std::byte*> map(int descriptor, std::size_t bytes) override {
    const auto there = file_size(descriptor);
    if (!there.ok() || *there < bytes)
      return Error{ErrorCode::unsupported, "the weights on the card have " +
                                               std::to_string(there.ok() ? *there : 0) +
                                               " bytes, not " + std::to_string(bytes)};
    SHEAF_ASSIGN(Mapping mapping, Mapping::map(descriptor, bytes, Mapping::Access::read_only));
    mappings_.push_back(std::move(mapping));
    return std::as_const(mappings_.back()).data();
  }
  bool owns(const std::byte* address) const {
    const auto holds = [=](const Mapping& one) {
      return address >= one.data() && address < one.data() + one.size();
    };
    return std::ranges::any_of(mappings_, holds);
  }

 private:
  std::vector<Mapping> mappings_;
};

// What passes.h asks of a graph.
class EmulatedGraph {
 public:
  Stream stream() const { return &stream_; }
  bool ok() const { return true; }
  bool write(const void* host, std::size_t bytes, void* to) {
    const auto* from = static_cast<const std::byte*>(host);
    copies_.push_back({std::make_unique<std::vector<std::byte>>(from, from + bytes), to});
    work_.emplace_back([content = copies_.back().content.get(), to] {
      std::memcpy(to, content->data(), content->size());
    });
    return true;
  }
  bool finish() { return true; }
  bool rewrite(const void* host, std::size_t bytes, void* to) {
    if (next_ == copies_.size()) return false;
    const Copy& copy = copies_[next_++];
    if (copy.content->size() != bytes || copy.to != to) return false;
    std::memcpy(copy.content->data(), host, bytes);
    return true;
  }
  bool launch(Stream) {
    if (std::exchange(next_, 0) != copies_.size()) return false;
    for (const auto& work : work_) work();
    return true;
  }

 private:
  struct Copy {
    std::unique_ptr<std::vector<std::byte>> content;
    void* to;
  };
  std::vector<std::function<void()>> work_;
  emulation::EmulatedStream stream_{.recorded = &work_};
  std::vector<Copy> copies_;
  std::size_t next_ = 0;  // copy to be rewritten
};

class EmulatedDevice final : public Device {
 public:
  EmulatedDevice(EmulatedCard card, SharedCopy* weights_copy, int lanes)
      : card_(card), stream_{.order = card.order}, share_(lanes), weights_copy_(weights_copy) {}

  void* allocate(std::size_t bytes) override {
    passes_.forget();
    if (!share_.has_room(bytes)) {
      fail(share_.refusal(bytes));
      return nullptr;
    }
    void* block = tensor::host_memory().allocate(bytes);
    // No number: nothing may be read before it is written. Of a workspace only the beginning.
    std::memset(block, 0xff, std::min(bytes, kFilledBytes));
    blocks_[static_cast<const std::byte*>(block)] = bytes;
    share_.add(block, bytes);
    return block;
  }
  void release(void* block) override {
    if (block == nullptr) return;
    passes_.forget();
    share_.remove(block);
    blocks_.erase(static_cast<const std::byte*>(block));
    tensor::host_memory().release(block);
  }
  void write(const void* host, std::size_t bytes, void* to) override {
    if (passes_.write(host, bytes, to)) return;
    if (status_.ok()) std::memcpy(to, host, bytes);
  }
  void read(const void* from, std::size_t bytes, void* host) override {
    passes_.finish();
    if (status_.ok()) std::memcpy(host, from, bytes);
  }

  const std::byte* share(std::span<const std::byte> host, std::size_t head_bytes) override {
    if (weights_copy_ == nullptr) return nullptr;
    const std::byte* const shared =
        share_weights(*this, exported_, *weights_copy_, host, head_bytes);
    if (shared != nullptr) share_.add_common(host.size());
    return shared;
  }

  Stream stream() const override { return &stream_; }
  bool give(const Launch& launch) override { return passes_.give(launch); }
  void begin_pass(std::span<const std::uint32_t> shape) override { passes_.begin(shape); }
  float time(const std::function<void()>& run) override {
    const float before = emulation::played_library().clock_ms;
    run();
    return emulation::played_library().clock_ms - before;
  }
  unsigned multiprocessors() const override { return card_.multiprocessors; }
  int compute_capability() const override { return card_.compute_capability; }
  std::size_t shared_bytes_max() const override { return card_.shared_bytes_max; }
  // Its memory is the host's, and it is never behind.
  Result<std::unique_ptr<Sums>> join(Communicator& group) override { return make_host_sums(group); }
  Status status() const override { return status_; }
  void fail(Error error) override {
    if (status_.ok()) status_ = std::move(error);
  }

  bool owns(const void* address) const override {
    if (!card_.own_memory_only) return true;
    const auto* at = static_cast<const std::byte*>(address);
    if (exported_.owns(at)) return true;
    const auto behind = blocks_.upper_bound(at);
    return behind != blocks_.begin() && at < std::prev(behind)->first + std::prev(behind)->second;
  }

 private:
  EmulatedCard card_;
  emulation::EmulatedStream stream_;
  Status status_;
  MemoryShare share_;
  Passes<EmulatedGraph> passes_{*this};
  std::map<const std::byte*, std::size_t> blocks_;
  EmulatedExport exported_;
  SharedCopy* const weights_copy_;
};

}  // namespace

std::unique_ptr<Device> make_emulated_device(EmulatedCard card, SharedCopy* weights_copy,
                                             int lanes) {
  return std::make_unique<EmulatedDevice>(card, weights_copy, lanes);
}

std::vector<DeviceBackend> emulated_backends(EmulatedCard card) {
  const auto findings = std::make_shared<CardFindings>();
  std::vector<DeviceBackend> backends;
  for (const CardPrecision& precision : kCardPrecisions) {
    const std::string name = "emulated cuda " + std::string(precision.name);
    backends.push_back(
        {name, precision.dtype, [=](BackendOptions options) -> Result<std::unique_ptr<Backend>> {
           return make_backend_on(make_emulated_device(card, options.weights_copy, options.lanes),
                                  name, precision, options, findings);
         }});
  }
  return backends;
}

}  // namespace sheaf::kernels::cuda
