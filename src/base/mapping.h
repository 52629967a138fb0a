#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace sheaf {

// The one owner of a memory mapping; unmaps it when destroyed. Page-aligned.
class Mapping {
 public:
  enum class Access { read_only, read_write };

  Mapping() = default;
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;
  ~Mapping();

  // Shared mapping of `bytes` bytes of `fd` from offset 0, at a multiple of 2 MiB if it is that
  // long. The descriptor may be closed afterwards.
  static Result<Mapping> map(int fd, std::size_t bytes, Access access);
  // Asks for pages of 2 MiB, which cost fewer misses of the TLB and are prefetched across, in
  // memory that is shared and not yet written. Where the kernel cannot, nothing changes.
  void use_huge_pages();
  // Whole regular file, read only. An empty file gives an empty span.
  static Result<Mapping> map_file(const std::string& path);

  std::span<std::byte> bytes() { return {data_, size_}; }  // read_write mappings only
  std::span<const std::byte> bytes() const { return {data_, size_}; }
  std::byte* data() { return data_; }
  const std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }

 private:
  Mapping(std::byte* data, std::size_t size) : data_(data), size_(size) {}
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

// Anonymous shared memory, close-on-exec, sealable. `name` shows in /proc/PID/maps.
Result<Fd> make_memfd(const std::string& name, std::size_t bytes);
// Forbids any later change of size or content (F_SEAL_*); no writable mapping may exist.
Status seal_memfd(int fd);
Result<std::size_t> file_size(int fd);
// Anything at that path; false too where it cannot be looked at.
bool file_exists(const std::string& path);

}  // namespace sheaf
