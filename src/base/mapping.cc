#include "base/mapping.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <utility>

#include "base/on_cores.h"

namespace sheaf {
namespace {

constexpr std::size_t kHugePage = 2u << 20;
constexpr int kCollapse = 25;  // MADV_COLLAPSE, Linux 6.1, newer than Debian 12's headers

// An address whose huge pages are those of the file, with room for `bytes` bytes; null if none.
void* huge_page_address(std::size_t bytes) {
  void* hole = ::mmap(nullptr, bytes + kHugePage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (hole == MAP_FAILED) return nullptr;
  ::munmap(hole, bytes + kHugePage);
  const auto address = reinterpret_cast<std::uintptr_t>(hole);
  return reinterpret_cast<void*>((address + kHugePage - 1) / kHugePage * kHugePage);
}

}  // namespace

Mapping::Mapping(Mapping&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

Mapping::~Mapping() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

Result<Mapping> Mapping::map(int fd, std::size_t bytes, Access access) {
  if (bytes == 0) return Mapping();
  const int protection = access == Access::read_only ? PROT_READ : PROT_READ | PROT_WRITE;
  // Only a hint: should another thread map there first, the system chooses.
  void* hint = bytes < kHugePage ? nullptr : huge_page_address(bytes);
  void* data = ::mmap(hint, bytes, protection, MAP_SHARED, fd, 0);
  if (data == MAP_FAILED) return errno_error("mmap of " + std::to_string(bytes) + " bytes", errno);
  return Mapping(static_cast<std::byte*>(data), bytes);
}

void Mapping::use_huge_pages() {
  // Most of it is the kernel's writing zeros.
  on_cores(size_ / kHugePage, [this](std::size_t page) {
    std::byte* at = data_ + page * kHugePage;
    *at = std::byte{0};  // what has no page at all is not collapsed
    ::madvise(at, kHugePage, kCollapse);
  });
}

Result<Mapping> Mapping::map_file(const std::string& path) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));  // a pipe would never open
  if (!fd) return errno_error(path, errno);
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return errno_error(path, errno);
  if (!S_ISREG(info.st_mode)) return Error{ErrorCode::io, path + ": not a regular file"};
  return map(fd.get(), static_cast<std::size_t>(info.st_size), Access::read_only);
}

Result<Fd> make_memfd(const std::string& name, std::size_t bytes) {
  Fd fd(::memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return errno_error("memfd_create", errno);
  if (::ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0)
    return errno_error("memfd of " + std::to_string(bytes) + " bytes", errno);
  return fd;
}

Status seal_memfd(int fd) {
  if (::fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0)
    return errno_error("sealing a memfd", errno);
  return {};
}

Result<std::size_t> file_size(int fd) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return errno_error("fstat", errno);
  return static_cast<std::size_t>(info.st_size);
}

bool file_exists(const std::string& path) {
  struct stat ignored {};
  return ::stat(path.c_str(), &ignored) == 0;
}

}  // namespace sheaf
