#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/core.h"
#include "core/queue.h"

namespace sheaf::core {

struct RequestItem {
  enum class State : std::uint8_t { waiting, sent, done };

  std::uint32_t tokens = 0;
  State state = State::waiting;
  std::uint32_t runs = 0;
  std::uint32_t replica = 0;  // position in the pool; while sent
  BatchId batch = 0;          // while sent
};

// One open request.
struct Request {
  Queue::Place place;
  StreamId stream = 0;
  TimeUs deadline_us = 0;
  TimeUs arrived_us = 0;
  std::vector<RequestItem> items;
  std::uint32_t undone = 0;            // items
  std::optional<std::uint32_t> bound;  // to the replica at this position in the pool
  BatchId last_batch = 0;              // held the item that was done last
  TimeUs computed_until_us = 0;        // the end of what answer.compute_us counts
  Answer answer;                       // grows as items are done
};

}  // namespace sheaf::core
