#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "core/core.h"

namespace sheaf::core {

struct QueuedItem {
  ItemRef ref;
  std::uint32_t tokens = 0;
};

// Items that wait. Fair across tenants: the tenant who has been given the fewest tokens is next
// (start-time fair queueing: a tenant who returns starts at the present, so nobody saves up turns).
// Inside a tenant by when requests are due, then by request id. Items that come back from a dead
// replica go before everybody's.
//
// One entry a request, not one an item: pushing and removing a request cost O(log requests)
// whatever its number of items, popping an item O(log requests + log tenants).
class Queue {
 public:
  // Where a request stands; the same three values find it again.
  struct Place {
    TenantId tenant = 0;
    TimeUs due_us = 0;  // as the pool sees it (pool.cc)
    RequestId request = 0;
  };

  void push(const Place& place, std::span<const QueuedItem> items);
  void push_front(const Place& place, QueuedItem item);
  void remove(const Place& place);  // all items of the request; none is fine
  void move_all_to(Queue& other);

  bool empty() const { return items_ == 0; }
  const QueuedItem& front() const;  // only when not empty
  QueuedItem pop();                 // only when not empty

  std::uint64_t items() const { return items_; }
  std::uint64_t tokens() const { return tokens_; }
  std::uint64_t tokens_of(TenantId tenant) const;
  // Of that tenant, before that place. Walks the requests before it.
  std::uint64_t tokens_before(const Place& place) const;
  std::size_t tenants() const { return active_.size(); }  // with items waiting

 private:
  using Key = std::pair<TimeUs, RequestId>;
  struct Entry {
    std::vector<QueuedItem> items;
    std::size_t next = 0;      // items before it are popped
    std::uint64_t tokens = 0;  // waiting
  };
  struct Lane {
    std::map<Key, Entry> entries;
    std::uint64_t tokens = 0;  // waiting
    std::uint64_t given = 0;   // virtual time: tokens given so far, never behind the queue's own
  };
  using Turn = std::pair<std::uint64_t, TenantId>;  // Lane::given, tenant

  void append(Lane& lane, const Place& place, std::span<const QueuedItem> items);
  QueuedItem take(Lane& lane);
  void drop(Lane& lane, const Place& place);
  void activate(TenantId tenant, Lane& lane);
  void rest(TenantId tenant, const Lane& lane);
  void forget_rested();

  Lane returned_;  // from dead replicas
  std::map<TenantId, Lane> lanes_;
  std::set<Turn> active_;   // lanes with entries
  std::set<Turn> resting_;  // lanes without, but ahead of virtual time: their debt is remembered
  std::uint64_t virtual_time_ = 0;
  std::uint64_t items_ = 0;
  std::uint64_t tokens_ = 0;
};

}  // namespace sheaf::core
