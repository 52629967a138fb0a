#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

#include "core/core.h"
#include "core/queue.h"
#include "core/rate.h"

namespace sheaf::core {

struct Batch {
  BatchId id = 0;
  std::vector<QueuedItem> items;
  std::vector<bool> done;  // by position in items
  std::uint32_t tokens = 0;
  std::uint32_t awaited = 0;  // items whose requests are still open
  TimeUs sent_us = 0;
  TimeUs begun_us = 0;  // when the replica had a lane for it
  bool alone = false;   // holds one item, and nothing else has been in flight beside it
};

// The batches that one replica has, in the order in which it begins them. As many run as it has
// lanes, and one more lies ready so that the replica need not wait for the router between two.
class Flight {
 public:
  void set_lanes(std::uint32_t lanes) { lanes_ = lanes; }  // of a new process; it has no batch yet

  void add(TimeUs now_us, Batch batch);
  Batch* find(BatchId id);
  // Takes it out; the next one begins in its lane. Only for a batch that find() knows.
  Batch finish(TimeUs now_us, BatchId id);
  std::deque<Batch> take_all();  // the replica is dead

  bool empty() const { return batches_.empty(); }
  std::size_t size() const { return batches_.size(); }
  std::uint64_t tokens() const { return tokens_; }
  const Batch& oldest() const { return batches_.front(); }  // only when not empty
  bool is_full() const { return batches_.size() > lanes_; }
  // The batches that run are the first so many.
  std::size_t running() const { return std::min<std::size_t>(batches_.size(), lanes_); }
  std::size_t items_running() const;
  std::uint64_t tokens_running() const;

  // When all of it will probably be done, at the rate of all lanes together: not before now_us. A
  // batch that is overdue is expected to need as long again as it is late, so that a stalled
  // replica attracts ever less.
  TimeUs free_us(TimeUs now_us, const Rate& rate) const;
  // The same of the lane that is free first; now_us if one is.
  TimeUs lane_free_us(TimeUs now_us, const Rate& rate) const;
  // When the next batch, lead_us later, is due: later than now_us; INT64_MAX if none is.
  TimeUs next_due_us(TimeUs now_us, TimeUs lead_us, const Rate& rate) const;

 private:
  // Of one that runs: those that run share the rate.
  TimeUs due_us(const Batch& batch, const Rate& rate) const;

  std::uint32_t lanes_ = 1;
  std::deque<Batch> batches_;
  std::uint64_t tokens_ = 0;
};

}  // namespace sheaf::core
