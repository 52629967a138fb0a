#pragma once

#include <cstdint>

#include "base/clock.h"
#include "base/result.h"

namespace sheaf::core {

// What the door looks at.
struct Load {
  std::uint64_t queue_tokens = 0;
  std::uint64_t queue_tokens_max = 0;
  std::uint64_t tokens_ahead = 0;  // of this tenant's next request, in flight included
  double tokens_per_s = 0;         // of all ready replicas together
  bool learnt = false;             // that rate is measured
};

// Refused as overloaded if the queue would outgrow its bound. One that is larger than the bound by
// itself is taken when the queue is empty: else it could never be.
Status check_queue_room(const Load& load, std::uint64_t tokens);

// Refused as overloaded if what is ahead of it will take past its deadline. Under lasting overload
// this is what keeps goodput at its peak: a queue served in time only up to its head would spend
// all work on requests that expire half done. Said at the door, where the client can still go
// elsewhere. A result comes only with the end of its batch, which lasts up to `target_batch_us`.
Status check_deadline(const Load& load, std::uint64_t tokens, TimeUs time_left_us,
                      TimeUs target_batch_us);

// 30 s of work, at least a million tokens.
std::uint64_t default_queue_tokens_max(double tokens_per_s);

}  // namespace sheaf::core
