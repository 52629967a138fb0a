#include "core/flight.h"

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <utility>

namespace sheaf::core {

void Flight::add(TimeUs now_us, Batch batch) {
  batch.sent_us = now_us;
  batch.begun_us = now_us;
  batch.alone = batches_.empty() && batch.items.size() == 1;
  for (Batch& other : batches_) other.alone = false;
  tokens_ += batch.tokens;
  batches_.push_back(std::move(batch));
}

Batch* Flight::find(BatchId id) {
  for (Batch& batch : batches_)
    if (batch.id == id) return &batch;
  return nullptr;
}

Batch Flight::finish(TimeUs now_us, BatchId id) {
  const auto found = std::find_if(batches_.begin(), batches_.end(),
                                  [id](const Batch& batch) { return batch.id == id; });
  const auto at = static_cast<std::size_t>(found - batches_.begin());
  Batch finished = std::move(*found);
  batches_.erase(found);
  tokens_ -= finished.tokens;
  if (at < lanes_ && batches_.size() >= lanes_) batches_[lanes_ - 1].begun_us = now_us;
  return finished;
}

std::deque<Batch> Flight::take_all() {
  tokens_ = 0;
  return std::exchange(batches_, {});
}

std::size_t Flight::items_running() const {
  std::size_t items = 0;
  for (std::size_t i = 0; i < running(); ++i) items += batches_[i].items.size();
  return items;
}

std::uint64_t Flight::tokens_running() const {
  std::uint64_t tokens = 0;
  for (std::size_t i = 0; i < running(); ++i) tokens += batches_[i].tokens;
  return tokens;
}

TimeUs Flight::due_us(const Batch& batch, const Rate& rate) const {
  return batch.begun_us + rate.time_for(running() * std::uint64_t{batch.tokens});
}

TimeUs Flight::free_us(TimeUs now_us, const Rate& rate) const {
  if (batches_.empty()) return now_us;
  TimeUs left_us = 0;
  for (std::size_t i = 0; i < running(); ++i)
    left_us += std::abs(due_us(batches_[i], rate) - now_us);
  const auto sharing = static_cast<TimeUs>(running());
  return now_us + left_us / sharing + rate.time_for(tokens_ - tokens_running());
}

TimeUs Flight::lane_free_us(TimeUs now_us, const Rate& rate) const {
  if (batches_.size() < lanes_) return now_us;
  TimeUs left_us = std::numeric_limits<TimeUs>::max();
  for (std::size_t i = 0; i < running(); ++i)
    left_us = std::min(left_us, std::abs(due_us(batches_[i], rate) - now_us));
  return now_us + left_us;
}

TimeUs Flight::next_due_us(TimeUs now_us, TimeUs lead_us, const Rate& rate) const {
  TimeUs next_us = std::numeric_limits<TimeUs>::max();
  for (std::size_t i = 0; i < running(); ++i)
    if (const TimeUs at_us = due_us(batches_[i], rate) - lead_us; at_us > now_us)
      next_us = std::min(next_us, at_us);
  return next_us;
}

}  // namespace sheaf::core
