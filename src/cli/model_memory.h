#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "cli/model_source.h"
#include "model/spec/device_map.h"

namespace sheaf::cli {

// What serving a model takes, known before its weights are loaded.
struct ModelMemory {
  std::uint64_t weights_bytes = 0;     // once, however many replicas
  std::uint64_t replica_bytes = 0;     // each, with its largest batches
  std::uint32_t max_batch_tokens = 0;  // of those
  // Of a card's memory, if it computes on one; of several stages, what the one takes that needs
  // most:
  std::uint64_t card_weights_bytes = 0;  // once for all replicas there
  std::uint64_t card_replica_bytes = 0;  // each, beside the weights
};

// Asks `replica_program`, which reads the headers of the weights, for a minute at most. Fails where
// replicas of the model could not start over a tensor's name, shape or type. 0 tokens: the default;
// `threads` are those of a replica, or of a rank; `streams` those of a replica on a card.
Result<ModelMemory> memory_of(const std::string& replica_program, const ModelSource& source,
                              std::uint32_t max_batch_tokens, int threads,
                              std::uint32_t streams = 1);

// Asks it what the parts of the model take, likewise.
Result<model::PartBytes> parts_of(const std::string& replica_program, const ModelSource& source);

// "86.1 MiB of weights once, 8.7 MiB a replica", and what it takes of its card.
std::string describe(const ModelMemory& memory);

}  // namespace sheaf::cli
