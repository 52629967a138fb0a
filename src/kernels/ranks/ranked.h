#pragma once

#include <memory>

#include "kernels/ops.h"
#include "kernels/ranks/communicator.h"

namespace sheaf::kernels {

// A backend of one rank, with which the sums of partial products (Linear::partial) are whole ones:
// the first rank adds the bias, all add up in float32 where the backend keeps its states
// (Backend::join), and the residual is in it once. All ranks of the group make one; its status()
// tells of their sums too. The group must outlive it.
//
// States in bfloat16 are rounded once a sum, as on one device. Added up in bfloat16, parts and sums
// of n ranks would be rounded 2n - 1 times at each of two sums a layer, and 1 - cosine would grow
// as much: 3 times over two ranks, 7 over four. What float32 costs is twice the bytes between
// ranks.
//
// Errors: as of Backend::join().
Result<std::unique_ptr<Backend>> make_ranked(std::unique_ptr<Backend> real, Communicator& group);

}  // namespace sheaf::kernels
