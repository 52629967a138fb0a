#pragma once

#include <functional>
#include <memory>
#include <string>

#include "engine/engine.h"

namespace sheaf::replica {

// How models are packed and opened: the engine's functions, or a test's.
struct Backend {
  std::function<Status(const std::string& folder, int fd)> pack;
  std::function<Result<std::unique_ptr<engine::Engine>>(Mapping packed,
                                                        engine::EngineOptions options)>
      open;
};

// The program `sheaf-replica`:
//
//   run       serve batches from a channel until the control socket closes (started by the fleet)
//   pack      write a model's weights, packed for this machine, into a descriptor
//   embed     token ids on standard input to vectors on standard output (channel/offline.h)
//   describe  a model's spec as JSON
//   estimate  a model's memory as JSON
//
// Returns the exit code: 0, 1 for a failure said on standard error or the control socket, 2 for a
// wrong command line.
int run_program(int argc, char** argv, const Backend& backend);

}  // namespace sheaf::replica
