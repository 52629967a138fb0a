#include "replica/lane.h"

#include <utility>

namespace sheaf::replica {

Lane::Lane(engine::Engine& engine, std::function<void()> done)
    : runner_(engine), done_(std::move(done)), thread_([this] { run(); }) {}

Lane::~Lane() {
  if (!thread_.joinable()) return;
  for (State seen = state_; seen == State::computing; seen = state_) state_.wait(seen);
  state_ = State::ended;
  state_.notify_all();
  thread_.join();
}

void Lane::begin(channel::Submission submission) {
  submission_ = std::move(submission);
  state_ = State::computing;
  if (!thread_.joinable()) return compute();
  state_.notify_all();
}

void Lane::clear() {
  output_.reset();
  state_ = State::idle;
}

void Lane::compute() {
  output_.emplace(runner_.run(submission_));
  state_ = State::done;
}

void Lane::run() {
  for (;;) {
    const State seen = state_;
    if (seen == State::ended) return;
    if (seen != State::computing) {
      state_.wait(seen);
      continue;
    }
    compute();
    state_.notify_all();
    done_();
  }
}

}  // namespace sheaf::replica
