#pragma once

#include <cstdint>
#include <vector>

#include "core/queue.h"
#include "core/rate.h"

namespace sheaf::core {

struct BatchLimit {
  std::uint64_t tokens = 0;  // never exceeded, except by a single item
  std::uint64_t share = 0;   // fair share of what waits: rounded to the nearest item
  std::uint32_t items = 0;
};

// The most tokens that one batch for a replica may hold: the configured number, or what the
// replica does in the target time; at least one text of maximum length, at most what it can hold.
std::uint64_t batch_budget(const ModelOptions& options, const Rate& rate,
                           std::uint64_t replica_limit_tokens);

// The least worth sending when work is split between replicas: a twentieth of the target time. A
// batch reads all weights once however small it is, so that slivers would cost more than they save.
std::uint64_t split_minimum(const ModelOptions& options, const Rate& rate);

// A second batch is sent when the first is expected to last no longer than this: late, so that what
// arrives meanwhile joins it, and another replica that gets free earlier can have the items; but
// early enough to hide the way through the router (about 0.1 ms) behind an estimate that is wrong
// by a tenth.
TimeUs second_batch_lead_us(const ModelOptions& options);

// Takes items off the queue in its order; at least one if the queue is not empty. Batches are
// packed and cost what their tokens cost, so there is nothing to gain by looking for items of like
// length or by filling the last gap out of order.
std::vector<QueuedItem> fill_batch(Queue& queue, const BatchLimit& limit);

}  // namespace sheaf::core
