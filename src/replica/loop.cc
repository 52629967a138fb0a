#include "replica/loop.h"

#include <algorithm>
#include <deque>
#include <utility>
#include <variant>
#include <vector>

#include "replica/lane.h"

namespace sheaf::replica {
namespace {

using channel::Cancel;
using channel::Submission;

// Read ahead only so far: what is in this queue has left the ring and its bound.
constexpr std::size_t kMaxWaiting = 16;
// How often what several engines have done is looked at. Half of what a sign of life may take.
constexpr TimeUs kLookUs = 10'000;

class Loop {
 public:
  Loop(channel::ReplicaEnd& channel, engine::Engine& engine) : channel_(channel) {
    seats_.push_back({std::make_unique<Lane>(engine), &engine});
  }
  Loop(channel::ReplicaEnd& channel, std::span<const EngineLane> lanes) : channel_(channel) {
    for (const EngineLane& one : lanes)
      seats_.push_back({std::make_unique<Lane>(*one.engine, [&channel] { channel.wake(); }),
                        one.engine.get(), one.progress.get()});
  }

  Status run() {
    for (;;) {
      const std::uint32_t bell = channel_.bell();
      SHEAF_TRY(send_what_is_done());
      SHEAF_TRY(read_orders());
      SHEAF_ASSIGN(const bool begun, begin_next());
      if (begun) continue;
      look_at_progress();
      channel_.wait(bell, is_computing() ? kLookUs : 0);
    }
  }

 private:
  struct Order {
    Submission submission;
    bool cancelled = false;
  };
  struct Seat {
    std::unique_ptr<Lane> lane;
    engine::Engine* engine;
    const std::atomic<std::uint64_t>* progress = nullptr;  // null: it raises the channel's itself
    std::uint64_t seen = 0;                                // of its progress
    bool advanced = false;  // since the channel's progress was raised last
  };

  Status read_orders() {
    while (waiting_.size() < kMaxWaiting) {
      SHEAF_ASSIGN(auto received, channel_.receive());
      if (auto* submission = std::get_if<Submission>(&received)) {
        waiting_.push_back({std::move(*submission)});
      } else if (const auto* cancel = std::get_if<Cancel>(&received)) {
        for (Order& order : waiting_)
          if (order.submission.batch == cancel->batch) order.cancelled = true;
      } else {
        break;
      }
    }
    return {};
  }

  // Whether there was one to begin with and somebody to do it.
  Result<bool> begin_next() {
    const auto seat = std::ranges::find_if(seats_, [](const Seat& s) { return s.lane->is_idle(); });
    if (seat == seats_.end() || waiting_.empty()) return false;
    Order order = std::move(waiting_.front());
    waiting_.pop_front();
    if (order.cancelled)
      SHEAF_TRY(channel_.send_final(order.submission.batch, 0, nullptr));
    else
      seat->lane->begin(std::move(order.submission));
    return true;
  }

  // Where the device failed in one, the answers of others are as good as any.
  Status send_what_is_done() {
    Status failed;
    for (Seat& seat : seats_) {
      if (!seat.lane->is_done()) continue;
      const Status sent = send_answer(seat);
      if (!sent.ok() && failed.ok()) failed = sent;
      seat.lane->clear();
      seat.advanced = true;
    }
    return failed;
  }

  Status send_answer(const Seat& seat) {
    const Submission& submission = seat.lane->submission();
    const Result<Runner::Output>& output = seat.lane->output();
    if (!output.ok()) {
      SHEAF_TRY(seat.engine->status());  // whoever comes after this process runs the batch
      return channel_.send_final(submission.batch, 0, &output.error());
    }
    SHEAF_TRY(send_rows(submission, output->rows));
    return channel_.send_final(submission.batch, output->compute_us, nullptr);
  }

  // Vectors that stand side by side together, all else row by row.
  Status send_rows(const Submission& submission, const engine::Rows& rows) {
    const auto is_vector = [&](std::size_t i) {
      return i < rows.size() && submission.options[i].output == channel::Output::vector;
    };
    std::span<const float> values = rows.values();
    for (std::size_t first = 0, last = 0; first < rows.size(); first = last) {
      std::size_t floats = 0;
      do floats += rows.floats()[last++];
      while (is_vector(first) && is_vector(last));
      SHEAF_TRY(channel_.send_rows(submission.batch, static_cast<std::uint32_t>(first),
                                   static_cast<std::uint32_t>(last - first), values.first(floats)));
      values = values.subspan(floats);
    }
    return {};
  }

  bool is_computing() const {
    return !std::ranges::all_of(seats_, [](const Seat& seat) { return seat.lane->is_idle(); });
  }

  // One that has nothing to do holds nobody up.
  void look_at_progress() {
    bool all = false;
    for (Seat& seat : seats_) {
      if (seat.progress == nullptr || seat.lane->is_idle()) continue;
      const std::uint64_t now = *seat.progress;
      if (std::exchange(seat.seen, now) != now) seat.advanced = true;
      if (!seat.advanced) return;
      all = true;
    }
    if (!all) return;
    channel_.progress().fetch_add(1, std::memory_order_relaxed);
    for (Seat& seat : seats_) seat.advanced = false;
  }

  channel::ReplicaEnd& channel_;
  std::vector<Seat> seats_;
  std::deque<Order> waiting_;
};

}  // namespace

Status serve(channel::ReplicaEnd& channel, engine::Engine& engine) {
  return Loop(channel, engine).run();
}

Status serve(channel::ReplicaEnd& channel, std::span<const EngineLane> lanes,
             const Failed& failed) {
  Loop loop(channel, lanes);
  const Status status = loop.run();
  failed(status.error());
  return status;
}

}  // namespace sheaf::replica
