#include "core/replica.h"

#include <algorithm>
#include <limits>

namespace sheaf::core {
namespace {
constexpr TimeUs kMemoryLimitUs = 60'000'000;
}

bool Replica::has_room(TimeUs now_us, TimeUs lead_us) const {
  if (!supervisor.is_ready() || flight.is_full()) return false;
  return flight.lane_free_us(now_us, rate) - now_us <= lead_us;
}

TimeUs Replica::room_us(TimeUs now_us, TimeUs lead_us) const {
  if (!supervisor.is_ready() || flight.is_full()) return std::numeric_limits<TimeUs>::max();
  return flight.next_due_us(now_us, lead_us, rate);  // else it has room, or is overdue
}

std::uint64_t Replica::limit_tokens(TimeUs now_us) const {
  if (now_us >= memory_limit_until_us_) return limits.max_batch_tokens;
  return std::min<std::uint64_t>(limits.max_batch_tokens, memory_limit_tokens_);
}

void Replica::note_too_large(TimeUs now_us, std::uint64_t batch_tokens,
                             std::uint64_t floor_tokens) {
  const TimeUs until_us = now_us + kMemoryLimitUs;
  // Of batches that ran side by side the largest counts.
  const std::uint64_t beside = memory_limit_until_us_ == until_us ? memory_limit_tokens_ : 0;
  memory_limit_tokens_ = std::max({batch_tokens / 2, floor_tokens, beside});
  memory_limit_until_us_ = until_us;
}

// Of time in which several batches computed each has what those that ended before it had not.
void Replica::count(TimeUs now_us, const Batch& batch, TimeUs compute_us) {
  if (limits.lanes > 1 && compute_us > 0)
    compute_us = std::clamp<TimeUs>(now_us - counted_until_us_, 1, compute_us);
  counted_until_us_ = now_us;
  rate.learn(batch.tokens, compute_us);
  ++batches_;
  tokens_ += batch.tokens;
  busy_us_ += std::max<TimeUs>(compute_us, 0);
}

ReplicaStatus Replica::status(ModelId model) const {
  ReplicaStatus status;
  status.model = model;
  status.state = supervisor.state();
  status.incarnation = supervisor.incarnation();
  status.restarts = status.incarnation > 0 ? status.incarnation - 1 : 0;
  status.batches_in_flight = static_cast<std::uint32_t>(flight.size());
  status.tokens_in_flight = flight.tokens();
  status.tokens_per_s = rate.tokens_per_s();
  status.batches = batches_;
  status.tokens = tokens_;
  status.busy_us = busy_us_;
  status.last_death = last_death;
  return status;
}

}  // namespace sheaf::core
