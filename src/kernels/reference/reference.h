#pragma once

#include <memory>

#include "kernels/ops.h"

namespace sheaf::kernels {

// The operations as the textbook writes them, in double precision, one thread. The judge of the
// others.
std::unique_ptr<Backend> make_reference_backend(const BackendOptions& options);

}  // namespace sheaf::kernels
