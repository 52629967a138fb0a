#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "core/queue.h"

namespace sheaf::core {

// Items that must run in a batch of their own, with nothing else in the replica: one suspect after
// a death that counts, or half of a batch that was too large for the memory. They go before the
// queue, one group at a time in a model, so that at most one replica is at stake.
class Suspects {
 public:
  struct Group {
    std::vector<QueuedItem> items;
    std::optional<ReplicaId> avoid;  // died of it alone: another replica is the better witness
  };

  void add(Group group) { groups_.push_back(std::move(group)); }
  // Ahead of all others: a verdict is near, and with it the deaths are explained that would else
  // add up and open the breakers.
  void add_first(Group group) { groups_.push_front(std::move(group)); }
  void add_halves(std::vector<QueuedItem> items);  // by tokens, each at least one item
  bool empty() const { return groups_.empty(); }
  const Group& front() const { return groups_.front(); }
  Group take() {
    Group group = std::move(groups_.front());
    groups_.pop_front();
    return group;
  }
  // Drops items at the front for which `gone` is true, and groups that get empty by it. (Requests
  // that end do not search for their suspects; those are dropped here when their turn comes.)
  template <class Gone>
  void drop_front_if(Gone gone) {
    while (!groups_.empty()) {
      std::erase_if(groups_.front().items, gone);
      if (!groups_.front().items.empty()) return;
      groups_.pop_front();
    }
  }

 private:
  std::deque<Group> groups_;
};

}  // namespace sheaf::core
