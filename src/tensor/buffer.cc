#include "tensor/buffer.h"

#include <new>
#include <utility>

namespace sheaf::tensor {
namespace {
constexpr std::align_val_t kAlignment{64};
}

Buffer::Buffer(Buffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), capacity_(std::exchange(other.capacity_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(capacity_, other.capacity_);
  return *this;
}

Buffer::~Buffer() { ::operator delete(data_, kAlignment); }

float* Buffer::reserve(std::size_t count) {
  if (count > capacity_) {
    ::operator delete(data_, kAlignment);
    data_ = nullptr;
    capacity_ = 0;
    data_ = static_cast<float*>(::operator new(count * sizeof(float), kAlignment));
    capacity_ = count;
  }
  return data_;
}

}  // namespace sheaf::tensor
