#include "tensor/memory.h"

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <cstring>
#include <new>

#include "tensor/bfloat16.h"

namespace sheaf::tensor {
namespace {

constexpr std::align_val_t kAlignment{64};

class Host final : public Memory {
 public:
  void* allocate(std::size_t bytes) override { return ::operator new(bytes, kAlignment); }
  void release(void* block) override { ::operator delete(block, kAlignment); }
  void write(const void* host, std::size_t bytes, void* to) override {
    std::memcpy(to, host, bytes);
  }
  void read(const void* from, std::size_t bytes, void* host) override {
    std::memcpy(host, from, bytes);
  }
};

}  // namespace

const std::byte* Memory::share(std::span<const std::byte>, std::size_t) { return nullptr; }

bool Memory::is_host() const { return this == &host_memory(); }

Memory& host_memory() {
  static Host* const host = new Host;  // never destroyed: buffers of static storage end after it
  return *host;
}

MatrixView on_host(TypedView x, Memory& memory, std::vector<float>& copy) {
  if (memory.is_host() && x.dtype == Dtype::float32) return x.floats();
  copy.resize(x.data == nullptr ? 0 : extent_of(x));
  if (copy.empty()) return {nullptr, x.rows, x.columns, x.stride};
  if (x.dtype == Dtype::float32) {
    memory.read(x.data, copy.size() * sizeof(float), copy.data());
  } else {
    assert(x.dtype == Dtype::bfloat16);
    std::vector<std::uint16_t> bits(copy.size());
    memory.read(x.data, bits.size() * sizeof(std::uint16_t), bits.data());
    std::ranges::transform(bits, copy.begin(), from_bfloat16);
  }
  return {copy.data(), x.rows, x.columns, x.stride};
}

}  // namespace sheaf::tensor
