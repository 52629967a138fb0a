#include "core/queue.h"

#include <algorithm>
#include <cassert>

namespace sheaf::core {

void Queue::push(const Place& place, std::span<const QueuedItem> items) {
  if (items.empty()) return;
  Lane& lane = lanes_[place.tenant];
  if (lane.entries.empty()) activate(place.tenant, lane);
  append(lane, place, items);
}

void Queue::push_front(const Place& place, QueuedItem item) {
  append(returned_, place, {&item, 1});
}

void Queue::remove(const Place& place) {
  drop(returned_, place);
  const auto found = lanes_.find(place.tenant);
  if (found == lanes_.end() || found->second.entries.empty()) return;
  drop(found->second, place);
  if (found->second.entries.empty()) rest(place.tenant, found->second);
}

void Queue::move_all_to(Queue& other) {
  const auto move_lane = [&](Lane& lane, TenantId tenant, bool front) {
    for (auto& [key, entry] : lane.entries) {
      const Place place{tenant, key.first, key.second};
      const auto left = std::span(entry.items).subspan(entry.next);
      if (front)
        other.append(other.returned_, place, left);
      else
        other.push(place, left);
    }
  };
  move_lane(returned_, 0, true);
  for (auto& [tenant, lane] : lanes_) move_lane(lane, tenant, false);
  *this = Queue();
}

const QueuedItem& Queue::front() const {
  assert(!empty());
  const Lane& lane = returned_.entries.empty() ? lanes_.at(active_.begin()->second) : returned_;
  const Entry& entry = lane.entries.begin()->second;
  return entry.items[entry.next];
}

QueuedItem Queue::pop() {
  assert(!empty());
  if (!returned_.entries.empty()) return take(returned_);  // paid for when first popped
  const TenantId tenant = active_.begin()->second;
  Lane& lane = lanes_.at(tenant);
  active_.erase(active_.begin());
  const QueuedItem item = take(lane);
  virtual_time_ = lane.given;
  lane.given += item.tokens;
  if (lane.entries.empty())
    rest(tenant, lane);
  else
    active_.emplace(lane.given, tenant);
  forget_rested();
  return item;
}

std::uint64_t Queue::tokens_of(TenantId tenant) const {
  const auto found = lanes_.find(tenant);
  return found == lanes_.end() ? 0 : found->second.tokens;
}

std::uint64_t Queue::tokens_before(const Place& place) const {
  const auto found = lanes_.find(place.tenant);
  if (found == lanes_.end()) return 0;
  std::uint64_t tokens = 0;
  for (const auto& [key, entry] : found->second.entries) {
    if (key >= Key{place.due_us, place.request}) break;
    tokens += entry.tokens;
  }
  return tokens;
}

void Queue::append(Lane& lane, const Place& place, std::span<const QueuedItem> items) {
  Entry& entry = lane.entries[{place.due_us, place.request}];
  entry.items.insert(entry.items.end(), items.begin(), items.end());
  for (const QueuedItem& item : items) {
    entry.tokens += item.tokens;
    lane.tokens += item.tokens;
    tokens_ += item.tokens;
  }
  items_ += items.size();
}

QueuedItem Queue::take(Lane& lane) {
  const auto first = lane.entries.begin();
  const QueuedItem item = first->second.items[first->second.next++];
  first->second.tokens -= item.tokens;
  if (first->second.next == first->second.items.size()) lane.entries.erase(first);
  lane.tokens -= item.tokens;
  tokens_ -= item.tokens;
  --items_;
  return item;
}

void Queue::drop(Lane& lane, const Place& place) {
  const auto found = lane.entries.find({place.due_us, place.request});
  if (found == lane.entries.end()) return;
  const Entry& entry = found->second;
  lane.tokens -= entry.tokens;
  tokens_ -= entry.tokens;
  items_ -= entry.items.size() - entry.next;
  lane.entries.erase(found);
}

void Queue::activate(TenantId tenant, Lane& lane) {
  resting_.erase({lane.given, tenant});
  lane.given = std::max(lane.given, virtual_time_);
  active_.emplace(lane.given, tenant);
}

void Queue::rest(TenantId tenant, const Lane& lane) {
  active_.erase({lane.given, tenant});
  resting_.emplace(lane.given, tenant);
  if (active_.empty()) forget_rested();
}

// A lane that virtual time has caught up with is worth no more than a new one. When nobody waits,
// nobody has been disadvantaged and all debts are void. So lanes_ never outgrows those in debt.
void Queue::forget_rested() {
  while (!resting_.empty() && (active_.empty() || resting_.begin()->first <= virtual_time_)) {
    lanes_.erase(resting_.begin()->second);
    resting_.erase(resting_.begin());
  }
}

}  // namespace sheaf::core
