#pragma once

#include <cstddef>

#include "tensor/matrix.h"

namespace sheaf::tensor {

// The one owner of a block of floats, 64-byte aligned, that grows and never shrinks. Growing loses
// the content: it is scratch space that settles at the largest batch seen.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer();

  // Room for `count` floats; valid until the next call that asks for more.
  float* reserve(std::size_t count);
  MatrixSpan matrix(std::size_t rows, std::size_t columns) {
    return {reserve(rows * columns), rows, columns};
  }
  std::size_t bytes() const { return capacity_ * sizeof(float); }

 private:
  float* data_ = nullptr;
  std::size_t capacity_ = 0;
};

}  // namespace sheaf::tensor
