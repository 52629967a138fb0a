#include "core/flight.h"

#include <algorithm>
#include <cstdlib>
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
  Batch finished = std::move(*found);
  batches_.erase(found);
  tokens_ -= finished.tokens;
  if (!batches_.empty()) batches_.front().begun_us = now_us;
  return finished;
}

std::deque<Batch> Flight::take_all() {
  tokens_ = 0;
  return std::exchange(batches_, {});
}

TimeUs Flight::free_us(TimeUs now_us, const Rate& rate) const {
  if (batches_.empty()) return now_us;
  const Batch& first = batches_.front();
  const TimeUs left_us = first.begun_us + rate.time_for(first.tokens) - now_us;
  return now_us + std::abs(left_us) + rate.time_for(tokens_ - first.tokens);
}

}  // namespace sheaf::core
