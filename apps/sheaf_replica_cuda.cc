// sheaf-replica for cards: the same program, with the CUDA backends before those of the processor.

#include "card_replica.h"
#include "engine/engine.h"
#include "kernels/cuda/cuda.h"

namespace {

sheaf::Result<sheaf::replica::CardReport> find_cards() {
  SHEAF_ASSIGN(const auto found, sheaf::kernels::cuda::find_cards());
  sheaf::replica::CardReport report;
  report.compute_capabilities = sheaf::kernels::cuda::compiled_capabilities();
  for (const auto& card : found)
    report.cards.push_back({card.name, card.uuid, card.compute_capability, card.memory_bytes});
  if (found.size() < 2) return report;
  const auto sums = sheaf::kernels::cuda::what_adds_up();
  (sums.ok() ? report.sums_by : report.no_sums_because) = sums.ok() ? *sums : sums.error().message;
  return report;
}

}  // namespace

int main(int argc, char** argv) {
  return sheaf::cards::run_program(argc, argv,
                                   {"cuda ", sheaf::kernels::cuda::card_backends(), find_cards},
                                   sheaf::engine::Engine::open);
}
