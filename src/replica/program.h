#pragma once

#include <functional>
#include <memory>
#include <string>

#include "engine/engine.h"
#include "engine/footprint.h"

namespace sheaf::replica {

// How models are packed, opened and measured: the engine's functions, or a test's.
struct Backend {
  std::function<Status(const engine::Source& source, int fd)> pack;
  std::function<Result<std::unique_ptr<engine::Engine>>(Mapping packed,
                                                        engine::EngineOptions options)>
      open;
  std::function<Result<engine::Footprint>(const engine::Source& source,
                                          std::uint32_t max_batch_tokens, int threads)>
      footprint;
  // Of the fastest that this processor has for a dtype; empty: it has none.
  std::function<std::string(tensor::Dtype dtype)> backend_name;
};

// The program `sheaf-replica`:
//
//   run       serve batches from a channel until the control socket closes (started by the fleet)
//   pack      write a model's weights, packed for this machine, into a descriptor
//   embed     token ids on standard input to vectors on standard output (channel/offline.h)
//   describe  a model's spec as JSON
//   dtypes    what products can be computed in here, and by which backend, as JSON
//   estimate  a model's memory as JSON, from the headers of its files; without touching its weights
//             it fails where packing them would, over a name, a shape or a type
//
// Returns the exit code: 0, 1 for a failure said on standard error or the control socket, 2 for a
// wrong command line.
int run_program(int argc, char** argv, const Backend& backend);

}  // namespace sheaf::replica
