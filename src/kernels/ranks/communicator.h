#pragma once

#include <cstddef>
#include <vector>

#include "base/result.h"
#include "tensor/matrix.h"
#include "tensor/typed_matrix.h"

namespace sheaf::kernels {

// What the ranks that compute one model together share. Each rank has one and calls it from one
// thread. All make the same calls of meet(), sum() and share(), of the same shapes, in the same
// order; of send() and receive() two ranks do, each for the other.
class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual std::size_t rank() const = 0;   // below ranks()
  virtual std::size_t ranks() const = 0;  // at least 1

  // Waits until all ranks call it, as long as the group lives: of those that are about to compute
  // for those that still load.
  virtual Status meet() = 0;

  // x = the sum of what all ranks have there, added in the order of the ranks, so that all get the
  // same bits. x lies on the host. Error of kind unavailable where another rank is gone, or does
  // not come: x is then worth nothing, and every later call is answered so too.
  virtual Status sum(tensor::MatrixSpan x) = 0;

  // All get what the first rank has in `message`, at most kMostShared bytes. The others wait for it
  // as long as the group lives; the first one for them as in sum(), whose errors it has too.
  static constexpr std::size_t kMostShared = std::size_t{64} << 20;
  virtual Status share(std::vector<std::byte>& message) = 0;

  // Rank `to` gets x, of the same dtype and shape, by receive(), in the order in which it was sent;
  // both lie on the host. send() returns once x may be written again: what was not received yet is
  // kept up to a bound, and beyond it waited for, so that two ranks that send each other more than
  // that, and receive afterwards, end the group. Errors as of sum(). Not every kind of group has
  // them.
  virtual Status send(std::size_t to, tensor::TypedView x);
  virtual Status receive(std::size_t from, tensor::TypedSpan x);
};

}  // namespace sheaf::kernels
