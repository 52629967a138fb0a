#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/flight.h"
#include "core/request.h"
#include "core/streams.h"

namespace sheaf::core {

// The requests of one model that have not ended, and where each of their items is: it waits, is
// sent in a batch, perhaps waits again, and is done. Batches may hold items of requests that have
// ended meanwhile; those are passed over.
class OpenRequests {
 public:
  // All its items wait.
  Request& add(TimeUs now_us, const RequestSpec& spec, const Queue::Place& place);
  void remove(const Request& request);

  Request* find(RequestId request);  // null: it has ended
  bool contains(RequestId request) const { return requests_.contains(request); }
  bool empty() const { return requests_.empty(); }
  std::size_t size() const { return requests_.size(); }

  Request& first() { return requests_.at(deadlines_.begin()->second); }  // only when not empty
  // Of the first; INT64_MAX when empty.
  TimeUs first_deadline_us() const {
    return deadlines_.empty() ? std::numeric_limits<TimeUs>::max() : deadlines_.begin()->first;
  }

  // To the replica at this position. All its items are of open requests.
  void sent(const Batch& batch, std::uint32_t position);
  // The item at this place in the batch.
  void done(const Batch& batch, std::size_t index, ReplicaId replica);
  // For the answers to the requests that have items in it: a batch that ends now took so long.
  void note_compute_time(TimeUs now_us, const Batch& batch, TimeUs compute_us);
  // What the batch has left undone waits again.
  std::vector<QueuedItem> take_back(const Batch& batch);

  // In whatever queue, or as suspects.
  std::uint64_t waiting_items() const { return waiting_items_; }
  std::uint64_t waiting_tokens() const { return waiting_tokens_; }
  const Streams& streams() const { return streams_; }

 private:
  void add_waiting(std::uint32_t tokens);
  void drop_waiting(std::uint32_t tokens);

  std::unordered_map<RequestId, Request> requests_;
  std::set<std::pair<TimeUs, RequestId>> deadlines_;
  Streams streams_;
  std::uint64_t waiting_items_ = 0;
  std::uint64_t waiting_tokens_ = 0;
};

}  // namespace sheaf::core
