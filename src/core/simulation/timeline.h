#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <queue>
#include <utility>
#include <vector>

#include "base/clock.h"

namespace sheaf::core {

// The simulation's clock and what will happen: events in order of time, then of being planned.
class Timeline {
 public:
  TimeUs now() const { return now_; }
  bool empty() const { return events_.empty(); }
  void at(TimeUs time_us, std::function<void()> event) {
    events_.push({std::max(time_us, now_), planned_++, std::move(event)});
  }
  void after(TimeUs delay_us, std::function<void()> event) {
    at(now_ + delay_us, std::move(event));
  }
  void run_next() {
    Event event = std::move(const_cast<Event&>(events_.top()));  // popped at once: order unharmed
    events_.pop();
    now_ = event.time_us;
    event.run();
  }

 private:
  struct Event {
    TimeUs time_us;
    std::uint64_t number;
    std::function<void()> run;
    bool operator<(const Event& other) const {  // the queue's top is its largest
      return std::pair(time_us, number) > std::pair(other.time_us, other.number);
    }
  };
  std::priority_queue<Event> events_;
  std::uint64_t planned_ = 0;
  TimeUs now_ = 0;
};

}  // namespace sheaf::core
