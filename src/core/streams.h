#pragma once

#include <cstdint>
#include <limits>
#include <unordered_map>

#include "core/core.h"

namespace sheaf::core {

// What each stream has open, so that the queue can weigh it as a whole. Requests of stream 0, which
// is none, are passed over.
class Streams {
 public:
  void opened(StreamId stream, std::uint64_t tokens, TimeUs due_us);
  void ended(StreamId stream, std::uint64_t tokens);

  std::uint64_t tokens(StreamId stream) const;  // of all its open requests
  // Of those, when the one that was opened last is due; INT64_MIN if there is none.
  TimeUs last_due_us(StreamId stream) const;

 private:
  struct Open {
    std::uint64_t requests = 0;
    std::uint64_t tokens = 0;
    TimeUs last_due_us = std::numeric_limits<TimeUs>::min();
  };

  std::unordered_map<StreamId, Open> open_;
};

}  // namespace sheaf::core
