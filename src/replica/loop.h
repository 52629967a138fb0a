#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>

#include "base/result.h"
#include "channel/replica_end.h"
#include "engine/engine.h"

namespace sheaf::replica {

// One of several engines of one model, and what it was opened with as EngineOptions::progress.
struct EngineLane {
  std::unique_ptr<engine::Engine> engine;
  std::unique_ptr<std::atomic<std::uint64_t>> progress;
};

// The replica's loop: takes batches from the channel, runs them in order, sends the results. A
// batch that is cancelled before its turn ends without results. What the engine refuses fails that
// batch alone; only a broken channel ends the loop, and a device that failed.
Status serve(channel::ReplicaEnd& channel, engine::Engine& engine);

// The same with several, each of which has a batch. Batches begin in order; one that takes longer
// ends after those that came behind it. The channel's progress is raised when all that compute have
// raised theirs: one that hangs is seen beside others that do not.
Status serve(channel::ReplicaEnd& channel, std::span<const EngineLane> lanes);

}  // namespace sheaf::replica
