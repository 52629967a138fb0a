#pragma once

#include <cstddef>

#include "base/fd.h"
#include "base/result.h"

namespace sheaf::kernels::cuda {

// Memory of a card that other processes may map, by descriptors: a driver's, or what plays it.
// Blocks last as long as this object here, and as long as there is a descriptor or another mapping
// of them wherever. Errors are of kind unsupported or too_large, one sentence. One thread uses it.
class ExportedMemory {
 public:
  struct Block {
    std::byte* data = nullptr;  // on the card
    Fd descriptor;
  };

  virtual ~ExportedMemory() = default;
  // A new block, to be written here.
  virtual Result<Block> make(std::size_t bytes) = 0;
  // Another process's, to be read. Refused if it is shorter.
  virtual Result<const std::byte*> map(int descriptor, std::size_t bytes) = 0;
};

}  // namespace sheaf::kernels::cuda
