#pragma once

#include <condition_variable>
#include <mutex>

namespace sheaf::fleet {

// Lets handlers in until it is closed, and makes the closer wait for those inside. Handlers that
// the event loop still holds then find it closed, and touch nothing. Outlives its owner by a
// shared_ptr in each handler.
class Gate {
 public:
  bool enter() {
    const std::lock_guard lock(mutex_);
    if (closed_) return false;
    ++inside_;
    return true;
  }
  void leave() {
    const std::lock_guard lock(mutex_);
    if (--inside_ == 0) empty_.notify_all();
  }
  void close() {
    std::unique_lock lock(mutex_);
    closed_ = true;
    empty_.wait(lock, [this] { return inside_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable empty_;
  int inside_ = 0;
  bool closed_ = false;
};

}  // namespace sheaf::fleet
