#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "base/result.h"
#include "channel/replica_end.h"
#include "engine/engine.h"
#include "kernels/shared_copy.h"

namespace sheaf::replica {

// One of several engines of one model, and what it was opened with that outlives it.
struct EngineLane {
  std::unique_ptr<std::atomic<std::uint64_t>> progress;  // EngineOptions::progress
  std::unique_ptr<kernels::SharedCopy> copy;             // and its weights_copy; null: another's
  std::unique_ptr<engine::Engine> engine;
};

// The replica's loop: takes batches from the channel, runs them in order, sends the results. A
// batch that is cancelled before its turn ends without results. What the engine refuses fails that
// batch alone; only a broken channel ends the loop, and a device that failed.
Status serve(channel::ReplicaEnd& channel, engine::Engine& engine);

using Failed = std::function<void(const Error& error)>;
// The same with several, each of which has a batch. Batches begin in order; one that takes longer
// ends after those that came behind it. The channel's progress is raised when all that compute have
// raised theirs: one that hangs is seen beside others that do not. When it ends, `failed` is told
// why before the batches that others compute are awaited: that may take long, or for ever.
Status serve(channel::ReplicaEnd& channel, std::span<const EngineLane> lanes, const Failed& failed);

}  // namespace sheaf::replica
