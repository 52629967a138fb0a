#pragma once

#include <cstdint>
#include <optional>

#include "base/result.h"
#include "engine/engine.h"

namespace sheaf::engine {

// What a model takes in memory, found without loading it: the headers of its weights say how large
// they are when packed, and the engine itself, over operations that compute nothing, allocates what
// a batch needs without touching it.
struct Footprint {
  // Of a card's memory, by one replica.
  struct OnCard {
    std::uint64_t weights_bytes = 0;      // once, however many replicas
    std::uint64_t working_set_bytes = 0;  // of one engine that has run its largest batches
    std::uint64_t workspace_bytes = 0;    // of the library for products
    std::uint64_t context_bytes = 0;      // assumed, not measured
    std::uint32_t streams = 1;            // engines of a replica
    // A stream more adds no context.
    std::uint64_t added_replica_bytes() const {
      return streams * (working_set_bytes + workspace_bytes) + context_bytes;
    }
    std::uint64_t total_bytes() const { return weights_bytes + added_replica_bytes(); }
  };

  std::uint64_t weights_bytes = 0;  // once, however many replicas
  // Of one engine that has run its largest batches; of the host's memory.
  std::uint64_t working_set_bytes = 0;
  std::optional<OnCard> on_card = std::nullopt;  // of programs that compute on one
};

// For an engine with `threads` threads and batches of `max_batch_tokens` tokens in texts of the
// model's max_length. Fails where pack() would over a tensor's name, shape or type. Not to be
// called while other threads allocate: it asks malloc for the difference.
Result<Footprint> footprint_of(const Source& source, std::uint32_t max_batch_tokens, int threads);

}  // namespace sheaf::engine
