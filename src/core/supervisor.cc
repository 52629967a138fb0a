#include "core/supervisor.h"

#include <algorithm>
#include <cstddef>
#include <limits>

namespace sheaf::core {
namespace {

constexpr TimeUs kBackoffMinUs = 100'000;
constexpr TimeUs kBackoffMaxUs = 30'000'000;
constexpr TimeUs kBackoffWorkedMaxUs = 1'000'000;
constexpr TimeUs kFailureWindowUs = 60'000'000;
constexpr std::size_t kBreakerFailures = 5;
constexpr TimeUs kBreakerOpenUs = 30'000'000;

}  // namespace

Incarnation Supervisor::start(TimeUs now_us) {
  state_ = ReplicaState::starting;
  until_us_ = now_us + start_timeout_us_;
  kill_is_failure_ = false;
  worked_ = false;
  return ++incarnation_;
}

void Supervisor::wait() {
  if (state_ == ReplicaState::starting) state_ = ReplicaState::waiting;
}

void Supervisor::wait_is_over(TimeUs now_us) {
  if (state_ != ReplicaState::waiting) return;
  state_ = ReplicaState::starting;
  until_us_ = now_us + start_timeout_us_;
}

void Supervisor::kill(bool failure) {
  state_ = ReplicaState::killing;
  kill_is_failure_ = failure;
}

void Supervisor::ended(TimeUs now_us, bool failure) {
  drop_old_failures(now_us);
  if (!failure) {
    state_ = ReplicaState::backoff;
    until_us_ = now_us;
    return;
  }
  failures_.push_back(now_us);
  const bool broken = half_open_ || (!worked_ && failures_.size() >= kBreakerFailures);
  half_open_ = broken;
  state_ = broken ? ReplicaState::broken : ReplicaState::backoff;
  until_us_ = now_us + (broken ? kBreakerOpenUs : backoff_us());
}

void Supervisor::batch_finished(TimeUs now_us) {
  last_batch_us_ = now_us;
  worked_ = true;
  if (!half_open_) return;
  half_open_ = false;
  failures_.clear();
}

void Supervisor::forgive(TimeUs now_us) {
  if (last_batch_us_ < 0 || now_us - last_batch_us_ > kFailureWindowUs) return;
  if (state_ == ReplicaState::killing && kill_is_failure_)
    kill_is_failure_ = false;  // the one under way
  else if (!failures_.empty())
    failures_.pop_back();
  if (state_ == ReplicaState::broken && failures_.size() < kBreakerFailures) {
    half_open_ = false;
    state_ = ReplicaState::backoff;
    until_us_ = std::min(until_us_, now_us + kBackoffMinUs);
  }
}

bool Supervisor::runs(Incarnation incarnation) const {
  const bool alive = state_ == ReplicaState::waiting || state_ == ReplicaState::starting ||
                     state_ == ReplicaState::ready;
  return alive && incarnation == incarnation_;
}

bool Supervisor::start_is_due(TimeUs now_us) const {
  const bool waits = state_ == ReplicaState::backoff || state_ == ReplicaState::broken;
  return waits && now_us >= until_us_;
}

bool Supervisor::start_timed_out(TimeUs now_us) const {
  return state_ == ReplicaState::starting && now_us >= until_us_;
}

TimeUs Supervisor::next_us() const {
  const bool waits = state_ == ReplicaState::backoff || state_ == ReplicaState::broken ||
                     state_ == ReplicaState::starting;
  return waits ? until_us_ : std::numeric_limits<TimeUs>::max();
}

void Supervisor::drop_old_failures(TimeUs now_us) {
  while (!failures_.empty() && now_us - failures_.front() > kFailureWindowUs) failures_.pop_front();
}

TimeUs Supervisor::backoff_us() {
  const std::size_t doublings = std::min<std::size_t>(failures_.size() - 1, 10);
  const TimeUs longest_us = worked_ ? kBackoffWorkedMaxUs : kBackoffMaxUs;
  const TimeUs base_us = std::min(kBackoffMinUs << doublings, longest_us);
  const auto jittered_us =
      static_cast<TimeUs>(static_cast<double>(base_us) * (0.75 + 0.5 * random_.unit()));
  return std::clamp(jittered_us, kBackoffMinUs, longest_us);
}

}  // namespace sheaf::core
