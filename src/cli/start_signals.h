#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <mutex>
#include <thread>

namespace sheaf::cli {

// From construction to destruction SIGTERM and SIGINT end the program at once and by that signal,
// as they would anyhow, after a line that says so: for a start that fetches and measures models.
// Most needs not be undone: downloads go on where they stopped, what is kept is renamed into its
// place when it is whole, and replicas that measure end with their parent.
class StartSignals {
 public:
  StartSignals();
  ~StartSignals();

  // For what has to be undone: while the lock is held the program goes on, for thirty seconds at
  // most once a signal has come.
  std::unique_lock<std::timed_mutex> hold() const { return std::unique_lock(held_); }
  bool caught() const { return caught_; }

 private:
  mutable std::timed_mutex held_;
  std::atomic<bool> caught_{false};
  boost::asio::io_context io_{1};
  boost::asio::signal_set signals_;
  std::thread thread_;
};

}  // namespace sheaf::cli
