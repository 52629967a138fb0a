#pragma once

#include "base/result.h"
#include "channel/replica_end.h"
#include "engine/engine.h"

namespace sheaf::replica {

// Serves batches in the order of their arrival, one at a time, each answered by rows and one final
// frame. A batch cancelled before its turn gets its final frame alone. Returns only with an error
// of the channel, or of a device that has failed, whose batch is not answered then: too_large where
// it had no room for it. Else the process ends by its control socket (program.cc).
Status serve(channel::ReplicaEnd& channel, engine::Engine& engine);

}  // namespace sheaf::replica
