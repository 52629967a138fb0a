#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/footprint.h"

namespace sheaf::replica {

// A card as a program for cards sees it.
struct Card {
  std::string name, uuid;      // "NVIDIA H200", "GPU-…"
  int compute_capability = 0;  // 90 for 9.0
  std::uint64_t memory_bytes = 0;
};

// What a program for cards can do here.
struct CardReport {
  std::vector<int> compute_capabilities;  // that it has code for; empty: any
  std::vector<Card> cards;                // that it could use, were there code for them
  // By what ranks that have a card each add up, or why they cannot; both empty: there is one card.
  std::string sums_by = {}, no_sums_because = {};
};

// How models are packed, opened and measured: the engine's functions, or a test's.
struct Backend {
  std::function<Status(const engine::Source& source, int fd)> pack;
  std::function<Result<std::unique_ptr<engine::Engine>>(Mapping packed,
                                                        engine::EngineOptions options)>
      open;
  std::function<Result<engine::Footprint>(const engine::Source& source,
                                          std::uint32_t max_batch_tokens, int threads)>
      footprint;
  // Of the fastest that this processor, or card, has for a dtype; empty: it has none.
  std::function<std::string(tensor::Dtype dtype)> backend_name;
  // Of programs for cards; empty: it computes on the processor.
  std::function<Result<CardReport>()> cards = {};
};

// The program `sheaf-replica`:
//
//   run       serve batches from a channel until the control socket closes (started by the fleet)
//   pack      write a model's weights, packed for this machine, into a descriptor
//   embed     token ids on standard input to vectors on standard output (channel/offline.h)
//   describe  a model's spec as JSON
//   dtypes    what products can be computed in here, and by which backend, as JSON
//   devices   the cards that a program for cards can use, as JSON; takes as long as the driver
//   estimate  a model's memory as JSON, from the headers of its files; without touching its weights
//             it fails where packing them would, over a name, a shape or a type
//
// Returns the exit code: 0, 1 for a failure said on standard error or the control socket, 2 for a
// wrong command line, channel::kExitWithoutRoom, kExitAfterAnother.
int run_program(int argc, char** argv, const Backend& backend);

}  // namespace sheaf::replica
