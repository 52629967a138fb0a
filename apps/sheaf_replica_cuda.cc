// sheaf-replica for cards: the same program, with the CUDA backends before those of the processor.

#include <cstdio>
#include <utility>

#include "engine/engine.h"
#include "kernels/cuda/cuda.h"
#include "kernels/ops.h"
#include "replica/program.h"

namespace {

// The processor's estimate is of the heap, which says nothing of a card's memory.
sheaf::Result<sheaf::engine::Footprint> no_estimate(const sheaf::engine::Source&, std::uint32_t,
                                                    int) {
  return sheaf::Error{sheaf::ErrorCode::unsupported, "memory of a card cannot be estimated yet"};
}

}  // namespace

int main(int argc, char** argv) {
  auto backends = sheaf::kernels::cuda::card_backends();
  if (!backends.ok()) {
    std::fprintf(stderr, "sheaf-replica-cuda: %s\n", backends.error().message.c_str());
    return 1;
  }
  sheaf::kernels::add_device_backends(std::move(*backends));
  return sheaf::replica::run_program(
      argc, argv,
      {sheaf::engine::pack, sheaf::engine::Engine::open, no_estimate, sheaf::engine::backend_name});
}
