#include "tensor/memory.h"

#include <cstring>
#include <new>

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

bool Memory::is_host() const { return this == &host_memory(); }

Memory& host_memory() {
  static Host* const host = new Host;  // never destroyed: buffers of static storage end after it
  return *host;
}

MatrixView on_host(MatrixView x, Memory& memory, std::vector<float>& copy) {
  if (memory.is_host() || x.data == nullptr || x.rows == 0) return x;
  copy.resize((x.rows - 1) * x.stride + x.columns);
  memory.read(x.data, copy.size() * sizeof(float), copy.data());
  return {copy.data(), x.rows, x.columns, x.stride};
}

}  // namespace sheaf::tensor
