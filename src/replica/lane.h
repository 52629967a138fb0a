#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <thread>

#include "base/result.h"
#include "channel/replica_end.h"
#include "engine/engine.h"
#include "replica/runner.h"

namespace sheaf::replica {

// An engine and the batch that it has. On a card several of one model run side by side, each with a
// stream of its own: what memory bounds in one batch, and its copies, goes on beside the products
// of another. Everything but what a thread of its own does is called by one thread.
class Lane {
 public:
  // Where it is the only one: begin() returns when the batch is done.
  explicit Lane(engine::Engine& engine) : runner_(engine) {}
  // With a thread of its own, which calls `done` after each batch.
  Lane(engine::Engine& engine, std::function<void()> done);
  ~Lane();  // waits for the batch that it computes
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  bool is_idle() const { return state_ == State::idle; }
  bool is_done() const { return state_ == State::done; }
  void begin(channel::Submission submission);  // of an idle one
  // Of one that is done.
  const channel::Submission& submission() const { return submission_; }
  const Result<Runner::Output>& output() const { return *output_; }
  void clear();  // it is idle again

 private:
  enum class State { idle, computing, done, ended };

  void compute();
  void run();

  Runner runner_;
  channel::Submission submission_;
  std::optional<Result<Runner::Output>> output_;
  // Who sets it to `computing` or `done` hands over what stands above.
  std::atomic<State> state_{State::idle};
  std::function<void()> done_;
  std::thread thread_;
};

}  // namespace sheaf::replica
