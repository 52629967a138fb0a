#pragma once

#include <functional>
#include <memory>
#include <string>

#include "engine/engine.h"
#include "engine/footprint.h"

namespace sheaf::replica {

// How models are packed, opened and measured: the engine's functions, or a test's.
struct Backend {
  std::function<Status(const std::string& folder, const std::string& pooling, int fd)> pack;
  std::function<Result<std::unique_ptr<engine::Engine>>(Mapping packed,
                                                        engine::EngineOptions options)>
      open;
  std::function<Result<engine::Footprint>(const std::string& folder, const std::string& pooling,
                                          std::uint32_t max_batch_tokens, int threads)>
      footprint;
};

// The program `sheaf-replica`:
//
//   run       serve batches from a channel until the control socket closes (started by the fleet)
//   pack      write a model's weights, packed for this machine, into a descriptor
//   embed     token ids on standard input to vectors on standard output (channel/offline.h)
//   describe  a model's spec as JSON
//   estimate  a model's memory as JSON, from the headers of its files; without touching its weights
//             it fails where packing them would, over a name, a shape or a type
//
// Returns the exit code: 0, 1 for a failure said on standard error or the control socket, 2 for a
// wrong command line.
int run_program(int argc, char** argv, const Backend& backend);

}  // namespace sheaf::replica
