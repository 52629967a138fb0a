#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace sheaf::router {

// Finds out whether models answer by sending each a token. One probe runs at a time: all who ask
// meanwhile hear its outcome. Thread-safe; lives until `io` has stopped.
class HealthProbe {
 public:
  static constexpr TimeUs kLimitUs = 1'000'000;

  using Heard = std::function<void(bool healthy)>;
  // Sends one token through the model and lets `heard` know, once, on any thread, of whether it
  // came back; it should give up at the deadline (monotonic).
  using Send = std::function<void(std::size_t model, TimeUs deadline_us, Heard heard)>;
  // Called once, on a thread of `io` or one that heard of a token.
  using Answer = std::function<void(Status)>;

  HealthProbe(boost::asio::io_context& io, Send send);

  // Healthy when a token has come back from each of `models`, else unavailable after kLimitUs at
  // the latest.
  void ask(std::span<const std::size_t> models, Answer answer);

 private:
  void start_limit(std::uint64_t number);
  void end(std::uint64_t number, bool healthy);

  const Send send_;
  std::mutex mutex_;  // guards all below
  boost::asio::steady_timer limit_;
  std::vector<Answer> waiters_;
  std::uint64_t number_ = 0;  // of the probe that runs
};

}  // namespace sheaf::router
