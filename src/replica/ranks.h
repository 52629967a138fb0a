#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "engine/engine.h"
#include "kernels/ranks/communicator.h"

// A replica that is a group of ranks, or of stages: the first has the channel, hands each batch on
// and answers it; the others compute their part of it, and their answers, which are the same or,
// of stages, none, are dropped.
namespace sheaf::replica {

// The engine of the first rank: hands batches to the others before it runs them. Both must be there
// already; the communicator outlives it.
std::unique_ptr<engine::Engine> make_first_rank(std::unique_ptr<engine::Engine> engine,
                                                kernels::Communicator& others);

// What another rank does: runs the batches of the first, until the group ends or its own device
// fails. An error always.
Status follow(engine::Engine& engine, kernels::Communicator& group);

// A batch as ranks hand it on. Of one that was checked by nobody yet the numbers are kept as they
// are: Engine::embed() checks them, and a rank that refuses it does so as the others do.
std::vector<std::byte> message_of(const engine::Batch& batch);

// And back, in memory of its own. Error of kind corrupt: it is no such message.
struct SharedBatch {
  std::vector<std::int32_t> ids;
  std::vector<std::uint32_t> cu_seqlens;
  std::vector<engine::ItemOptions> options;
};
Result<SharedBatch> batch_of(std::span<const std::byte> message);

}  // namespace sheaf::replica
