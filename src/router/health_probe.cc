#include "router/health_probe.h"

#include <atomic>
#include <chrono>
#include <memory>
#include <utility>

namespace sheaf::router {

HealthProbe::HealthProbe(boost::asio::io_context& io, Send send)
    : send_(std::move(send)), limit_(io) {}

void HealthProbe::ask(std::span<const std::size_t> models, Answer answer) {
  std::uint64_t number = 0;
  {
    std::lock_guard lock(mutex_);
    waiters_.push_back(std::move(answer));
    if (waiters_.size() > 1) return;  // a probe runs
    number = ++number_;
    start_limit(number);
  }
  struct Outcome {
    explicit Outcome(std::size_t tokens) : open(tokens) {}
    std::atomic<std::size_t> open;
    std::atomic<bool> healthy = true;
  };
  auto outcome = std::make_shared<Outcome>(models.size());
  const TimeUs deadline = monotonic_us() + kLimitUs;
  for (const std::size_t model : models)
    send_(model, deadline, [this, number, outcome](bool healthy) {
      if (!healthy) outcome->healthy = false;
      if (outcome->open.fetch_sub(1) == 1) end(number, outcome->healthy);
    });
}

// The tokens' deadline alone is kept no sooner than the router's threads come to it.
void HealthProbe::start_limit(std::uint64_t number) {
  limit_.expires_after(std::chrono::microseconds(kLimitUs));
  limit_.async_wait([this, number](boost::system::error_code error) {
    if (!error) end(number, false);
  });
}

// `number` says which probe has ended: the last token of one whose time was over, and a timer that
// rang while it was being cancelled, say nothing of the next.
void HealthProbe::end(std::uint64_t number, bool healthy) {
  std::vector<Answer> waiters;
  {
    std::lock_guard lock(mutex_);
    if (number != number_) return;
    waiters.swap(waiters_);
    limit_.cancel();
  }
  for (Answer& answer : waiters) {
    if (healthy)
      answer({});
    else
      answer(Error{ErrorCode::unavailable, "a one-token probe was not answered within 1 s", "", 1});
  }
}

}  // namespace sheaf::router
