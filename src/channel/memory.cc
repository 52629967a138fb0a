#include "channel/memory.h"

#include <sys/mman.h>

#include <cerrno>
#include <utility>

namespace sheaf::channel {

MirroredMapping::MirroredMapping(MirroredMapping&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), capacity_(std::exchange(other.capacity_, 0)) {}

MirroredMapping& MirroredMapping::operator=(MirroredMapping&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(capacity_, other.capacity_);
  return *this;
}

MirroredMapping::~MirroredMapping() {
  if (data_ != nullptr) ::munmap(data_, 2 * capacity_);
}

Result<MirroredMapping> MirroredMapping::map(int fd, std::size_t offset, std::size_t capacity) {
  // Reserves both halves at once, so that the two mappings below replace nothing else.
  void* reserved = ::mmap(nullptr, 2 * capacity, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (reserved == MAP_FAILED) return errno_error("channel: reserving address space", errno);
  MirroredMapping mapping;
  mapping.data_ = static_cast<std::byte*>(reserved);
  mapping.capacity_ = capacity;
  for (std::byte* half : {mapping.data_, mapping.data_ + capacity}) {
    if (::mmap(half, capacity, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
               static_cast<off_t>(offset)) == MAP_FAILED)
      return errno_error("channel: mapping a ring", errno);
  }
  return mapping;
}

}  // namespace sheaf::channel
