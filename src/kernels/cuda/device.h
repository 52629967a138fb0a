#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "kernels/cuda/target.cuh"
#include "kernels/ranks/sums.h"
#include "tensor/memory.h"

namespace sheaf::kernels::cuda {

// A card as one replica uses it: its memory, one stream, on which all is carried out in turn, and
// what went wrong first. One thread uses it.
class Device : public tensor::Memory {
 public:
  virtual Stream stream() const = 0;
  // False of one that is not there, for which weights are laid out and memory is counted: nothing
  // is launched on it, and no library is asked for.
  virtual bool computes() const { return true; }
  // As Backend::join(), in turn with what else the stream carries out.
  virtual Result<std::unique_ptr<Sums>> join(Communicator& group) = 0;
  // Told before what an operation launches, so that it can be seen how far the card has come.
  virtual void begin_operation() {}
  // Not ok from the first call on that failed, here or in a launch before; then nothing should be
  // launched any more. What can be done about it is to end the process.
  virtual Status status() const = 0;
  // For who calls the runtime or a library by himself.
  virtual void fail(Error error) = 0;

  // Whether the address is of a block of this memory; a card cannot tell and believes it.
  virtual bool owns(const void* address) const = 0;
};

}  // namespace sheaf::kernels::cuda
