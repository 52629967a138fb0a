#pragma once

#include <memory>

#include "kernels/ops.h"
#include "kernels/ranks/communicator.h"

namespace sheaf::kernels {

// A backend of one rank, with which the sums of partial products (Linear::partial) are whole ones:
// the first rank adds the bias, all add up in float32, and the residual is in it once. States lie
// on the host. Its status() tells of the communicator too, which must outlive it.
std::unique_ptr<Backend> make_ranked(std::unique_ptr<Backend> real, Communicator& communicator);

}  // namespace sheaf::kernels
