#pragma once

#include <memory>

#include "base/result.h"
#include "kernels/ranks/communicator.h"
#include "tensor/matrix.h"

namespace sheaf::kernels {

// Adds up what the ranks of a group have where their backend keeps it: Backend::join(). As with a
// Communicator, all ranks make the same calls, of the same shapes, in the same order.
class Sums {
 public:
  virtual ~Sums() = default;

  // x = the sum of what all ranks have there, in float32, the same bits on all. x lies in the
  // backend's memory, its rows one behind the other, and is the sum to whatever the backend carries
  // out after the call. Error of kind unavailable where another rank is gone, or does not come: x
  // is then worth nothing, and every later call is answered so too.
  virtual Status add_up(tensor::MatrixSpan x) = 0;
  // That error, of what a device was given to do: it need not have failed when the call returned.
  virtual Status status() const { return {}; }
};

// Of what lies on the host: Communicator::sum(). The group outlives it.
std::unique_ptr<Sums> make_host_sums(Communicator& group);

}  // namespace sheaf::kernels
