// sheaf-replica-cuda for the tests: this processor plays the card, with fault hooks. In its place
// by `sheaf serve --card-program`.

#include <cstdlib>

#include "card_replica.h"
#include "engine/engine.h"
#include "fault_hooks.h"
#include "kernels/cuda/emulation/emulated.h"

namespace {

// One, whatever there is; or as SHEAF_FAULT_NO_CARD says that there is none.
sheaf::Result<sheaf::replica::CardReport> find_cards() {
  if (const char* why = std::getenv("SHEAF_FAULT_NO_CARD"))
    return sheaf::Error{sheaf::ErrorCode::unsupported, why};
  sheaf::replica::CardReport report{.cards = {{"emulated card", "", 0, 0}}};
  if (const char* why = std::getenv("SHEAF_FAULT_NO_SUMS"))
    report.no_sums_because = why;
  else
    report.sums_by = "shared memory";
  return report;
}

}  // namespace

int main(int argc, char** argv) {
  return sheaf::cards::run_program(
      argc, argv,
      {"emulated cuda ",
       sheaf::kernels::cuda::emulated_backends({.own_memory_only = true, .multiprocessors = 132}),
       find_cards},
      sheaf::faults::with_hooks(sheaf::engine::Engine::open));
}
