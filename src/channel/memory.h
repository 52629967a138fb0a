#pragma once

#include <cstddef>
#include <cstring>
#include <span>

#include "base/result.h"
#include "channel/layout.h"

namespace sheaf::channel {

// A part of a memfd mapped twice in a row: byte i and byte i + capacity are the same memory, so
// any span that starts in the first half and is no longer than the ring is contiguous.
class MirroredMapping {
 public:
  MirroredMapping() = default;
  MirroredMapping(MirroredMapping&& other) noexcept;
  MirroredMapping& operator=(MirroredMapping&& other) noexcept;
  ~MirroredMapping();

  // `offset` and `capacity` are whole pages of `fd`.
  static Result<MirroredMapping> map(int fd, std::size_t offset, std::size_t capacity);

  std::byte* data() const { return data_; }
  std::size_t capacity() const { return capacity_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t capacity_ = 0;
};

// Copies bytes that the peer may be changing right now. The fence keeps the compiler from reading
// them a second time: what is checked is what is used.
inline void copy_once(void* to, const void* from, std::size_t bytes) {
  std::memcpy(to, from, bytes);
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

template <class T>
T copy_once(const std::byte* from) {
  T value;
  copy_once(&value, from, sizeof value);
  return value;
}

}  // namespace sheaf::channel
