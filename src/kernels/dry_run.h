#pragma once

#include <memory>

#include "kernels/ops.h"

namespace sheaf::kernels {

// A backend that lays out and cuts work as `real` does, allocates what `real` would for it, and
// computes nothing: with it a model shows what memory it takes without running.
std::unique_ptr<Backend> make_dry_run(std::unique_ptr<Backend> real);

}  // namespace sheaf::kernels
