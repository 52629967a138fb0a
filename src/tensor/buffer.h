#pragma once

#include <cstddef>
#include <span>

#include "tensor/matrix.h"
#include "tensor/memory.h"
#include "tensor/typed_matrix.h"

namespace sheaf::tensor {

// The one owner of a block of floats, 64-byte aligned, that grows and never shrinks. Growing loses
// the content: it is scratch space that settles at the largest batch seen. All its blocks come from
// one memory, which it must not outlive.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer();

  // Room for `count` floats; valid until the next call that asks for more.
  float* reserve(std::size_t count, Memory& memory = host_memory());
  MatrixSpan matrix(std::size_t rows, std::size_t columns, Memory& memory = host_memory()) {
    return {reserve(rows * columns, memory), rows, columns};
  }
  TypedSpan matrix(Dtype dtype, std::size_t rows, std::size_t columns, Memory& memory) {
    const std::size_t bytes = rows * columns * size_of(dtype);
    float* block = reserve((bytes + sizeof(float) - 1) / sizeof(float), memory);
    return {reinterpret_cast<std::byte*>(block), dtype, rows, columns, columns};
  }

  // The values where operations in `memory` can read them: where they are if that is the host's,
  // else in a copy that is made now and kept here.
  template <class T>
  const T* hold(std::span<const T> values, Memory& memory) {
    static_assert(sizeof(T) == sizeof(float));
    if (memory.is_host()) return values.data();
    float* copy = reserve(values.size(), memory);
    if (copy != nullptr) memory.write(values.data(), values.size_bytes(), copy);
    return reinterpret_cast<const T*>(copy);
  }

  std::size_t bytes() const { return capacity_ * sizeof(float); }

 private:
  float* data_ = nullptr;
  std::size_t capacity_ = 0;
  Memory* memory_ = nullptr;  // of data_, once there is some
};

}  // namespace sheaf::tensor
