#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "tensor/matrix.h"
#include "tensor/typed_matrix.h"

namespace sheaf::tensor {

// Where a device's operations read and write: the host's own memory, or a card's, whose addresses
// mean nothing here. Used by one thread at a time, and outlives its blocks.
class Memory {
 public:
  virtual ~Memory() = default;

  // Aligned to 64 bytes at least. Host memory throws as `new` does; a card without room returns
  // null, and its backend's status() says so.
  virtual void* allocate(std::size_t bytes) = 0;
  // Waits for the operations that may still use the block; null is nothing.
  virtual void release(void* block) = 0;

  // Between memory of the host and blocks of this one, in turn with the device's operations:
  // `host` may be changed as soon as either returns, and holds what was read.
  virtual void write(const void* host, std::size_t bytes, void* to) = 0;
  virtual void read(const void* from, std::size_t bytes, void* host) = 0;

  // `host`, which nobody writes any more, as it lies in a copy that processes on this device have
  // in common, for as long as this memory lasts. The first `head_bytes` tell it from
  // other copies. Null: it has none, or there is none here, and the caller needs a copy of its own.
  virtual const std::byte* share(std::span<const std::byte> host, std::size_t head_bytes);

  bool is_host() const;
};

Memory& host_memory();

// x, of float32 or bfloat16, where the host can read it: x itself, if it is float32 there, or a
// copy made now in `copy`.
MatrixView on_host(TypedView x, Memory& memory, std::vector<float>& copy);

}  // namespace sheaf::tensor
