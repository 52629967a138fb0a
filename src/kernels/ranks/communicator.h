#pragma once

#include <cstddef>

#include "base/result.h"
#include "tensor/matrix.h"

namespace sheaf::kernels {

// What the ranks that compute one model together share. Each rank has one and calls it from one
// thread; all make the same calls, of the same shapes, in the same order.
class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual std::size_t rank() const = 0;   // below ranks()
  virtual std::size_t ranks() const = 0;  // at least 1

  // x = the sum of what all ranks have there, added in the order of the ranks, so that all get the
  // same bits. x lies on the host. Error of kind unavailable where another rank is gone, or does
  // not come: x is then worth nothing, and every later call is answered so too.
  virtual Status sum(tensor::MatrixSpan x) = 0;
};

}  // namespace sheaf::kernels
