#include "tensor/buffer.h"

#include <utility>

namespace sheaf::tensor {

Buffer::Buffer(Buffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      capacity_(std::exchange(other.capacity_, 0)),
      memory_(std::exchange(other.memory_, nullptr)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(capacity_, other.capacity_);
  std::swap(memory_, other.memory_);
  return *this;
}

Buffer::~Buffer() {
  if (data_ != nullptr) memory_->release(data_);
}

float* Buffer::reserve(std::size_t count, Memory& memory) {
  if (count > capacity_) {
    if (data_ != nullptr) memory_->release(std::exchange(data_, nullptr));
    capacity_ = 0;
    memory_ = &memory;
    data_ = static_cast<float*>(memory.allocate(count * sizeof(float)));
    if (data_ != nullptr) capacity_ = count;
  }
  return data_;
}

}  // namespace sheaf::tensor
