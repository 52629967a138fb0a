#pragma once

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
  TimeUs begun_us = 0;  // when the replica had nothing older to run
  bool alone = false;   // holds one item, and nothing else has been in flight beside it
};

// The batches that one replica has, in the order in which it runs them. At most kBatchesMax: one
// runs, one lies ready so that the replica need not wait for the router between two.
class Flight {
 public:
  static constexpr std::size_t kBatchesMax = 2;

  void add(TimeUs now_us, Batch batch);
  Batch* find(BatchId id);
  // Takes it out; the next one begins. Only for a batch that find() knows.
  Batch finish(TimeUs now_us, BatchId id);
  std::deque<Batch> take_all();  // the replica is dead

  bool empty() const { return batches_.empty(); }
  std::size_t size() const { return batches_.size(); }
  std::uint64_t tokens() const { return tokens_; }
  const Batch& running() const { return batches_.front(); }  // only when not empty
  std::size_t items_running() const { return empty() ? 0 : running().items.size(); }

  // When all of it will probably be done, at this rate: not before now_us. A batch that is overdue
  // is expected to need as long again as it is late, so that a stalled replica attracts ever less.
  TimeUs free_us(TimeUs now_us, const Rate& rate) const;

 private:
  std::deque<Batch> batches_;
  std::uint64_t tokens_ = 0;
};

}  // namespace sheaf::core
