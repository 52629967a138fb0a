#pragma once

#include <cstdint>
#include <functional>
#include <span>

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
  // Calls launch(stream()) as a rule; for what it is not called, and for what else, see
  // begin_pass(). Returns what launch() does, whether it was taken; true where it was not called.
  using Launch = std::function<bool(Stream)>;
  virtual bool give(const Launch& launch) = 0;
  // A pass begins, which the next read() ends. Those of one shape give the same kernels the same
  // arguments in the same order, with writes of as many bytes to the same places among them, for as
  // long as no memory is allocated or released. So the device may record one, and in later ones
  // leave out what it is given, and repeat that at their end. No shape: unlike any other.
  virtual void begin_pass(std::span<const std::uint32_t> shape) = 0;
  // Milliseconds that the card takes for what run() gives the stream, for whose end it waits.
  virtual float time(const std::function<void()>& run) = 0;
  // False of one that is not there, for which weights are laid out and memory is counted: nothing
  // is launched on it, and no library is asked for.
  virtual bool computes() const { return true; }
  // 90 for 9.0; of one that is not there 0.
  virtual int compute_capability() const = 0;
  virtual unsigned multiprocessors() const = 0;      // of one that is not there 0
  virtual std::size_t shared_bytes_max() const = 0;  // of a block; of one that is not there 0
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
