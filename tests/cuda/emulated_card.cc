// Linked with the engine's own tests: they find an emulated card before this processor's backends,
// and so run every family of models on it. An operand outside of its memory fails them.
#include "kernels/cuda/emulation/emulated.h"
#include "kernels/ops.h"

namespace {

const bool added = [] {
  sheaf::kernels::add_device_backends(
      sheaf::kernels::cuda::emulated_backends({.own_memory_only = true, .multiprocessors = 132}));
  return true;
}();

}  // namespace
