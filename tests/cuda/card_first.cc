// Linked with a program of the engine: it finds this machine's card before the processor's
// backends.
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "kernels/cuda/cuda.h"
#include "kernels/ops.h"

namespace {

const bool added = [] {
  auto backends = sheaf::kernels::cuda::card_backends();
  if (const auto first = backends.front().make({}); !first.ok()) {
    std::fprintf(stderr, "%s\n", first.error().message.c_str());
    std::exit(1);
  }
  sheaf::kernels::add_device_backends(std::move(backends));
  return true;
}();

}  // namespace
