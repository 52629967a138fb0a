#include "cli/load.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cmath>
#include <csignal>
#include <optional>

namespace sheaf::cli {
namespace {

namespace asio = boost::asio;
constexpr auto kProgressEvery = std::chrono::milliseconds(100);
constexpr TimeUs kForever = INT64_MAX / 2;

// One request to be sent: which, and from when its latency counts.
struct Slot {
  std::size_t request = 0;
  TimeUs due_us = 0;
  bool counted = false;
};

// One run: one pass over the lanes, or two. All on the thread of its io_context.
class Run {
 public:
  Run(LoadTarget& target, const LoadPlan& plan, const LoadProgress& progress)
      : target_(target), plan_(plan), progress_(progress), progress_timer_(io_), signals_(io_) {}

  LoadResult run() {
    for (std::uint32_t i = 0; i < plan_.lanes; ++i)
      lanes_.push_back(target_.open_lane(io_.get_executor()));
    const bool steady = plan_.rate == 0 && plan_.requests == 0;
    // A closed loop of a duration is cut out of a steady stream. Else nothing of the warm-up may
    // stand in front of the first request counted, so all its answers are awaited.
    if (!steady && plan_.warmup_us > 0) pass(plan_.warmup_us, 0);
    if (!result_.ended_by_signal)
      pass(steady ? plan_.warmup_us : 0, plan_.requests > 0 ? kForever : plan_.duration_us);
    return finish();
  }

 private:
  // Sends for so long, or until as many are counted as the plan wants, and waits for all answers.
  void pass(TimeUs uncounted_us, TimeUs counted_us) {
    begin_us_ = monotonic_us();
    counted_from_us_ = begin_us_ + uncounted_us;
    end_us_ = counted_from_us_ + counted_us;
    handed_out_ = counted_out_ = 0;
    lanes_open_ = plan_.lanes;
    if (plan_.ends_at_signal) await_signal();
    for (const auto& lane : lanes_) asio::co_spawn(io_, run_lane(*lane), asio::detached);
    asio::co_spawn(io_, show_progress(), asio::detached);
    io_.restart();
    io_.run();
  }

  void await_signal() {
    boost::system::error_code ignored;
    signals_.add(SIGINT, ignored);
    signals_.add(SIGTERM, ignored);
    signals_.async_wait([this](boost::system::error_code stopped, int) {
      if (stopped) return;
      end_us_ = monotonic_us();
      result_.ended_by_signal = true;
      stop_waiting();
    });
  }
  void stop_waiting() {
    boost::system::error_code ignored;
    signals_.clear(ignored);
    signals_.cancel(ignored);
  }

  // The next request to send, or nothing when the pass is over.
  std::optional<Slot> next_slot() {
    const TimeUs now = monotonic_us();
    Slot slot{.request = handed_out_ % target_.prepared(), .due_us = now};
    if (plan_.rate > 0)
      slot.due_us =
          begin_us_ + static_cast<TimeUs>(static_cast<double>(handed_out_) * 1e6 / plan_.rate);
    if (slot.due_us >= end_us_ || now >= end_us_) return std::nullopt;
    slot.counted = slot.due_us >= counted_from_us_;
    if (plan_.requests > 0 && slot.counted && counted_out_ == plan_.requests) return std::nullopt;
    ++handed_out_;
    if (slot.counted) ++counted_out_;
    return slot;
  }

  asio::awaitable<void> run_lane(LoadLane& lane) {
    asio::steady_timer timer(io_);
    while (const std::optional<Slot> slot = next_slot()) {
      const TimeUs wait_us = slot->due_us - monotonic_us();
      if (wait_us > 0) {
        timer.expires_after(std::chrono::microseconds(wait_us));
        co_await timer.async_wait(kAwait);
      }
      const Result<LoadAnswer> answer = co_await lane.send(slot->request);
      record(*slot, answer);
      // A server that refuses or has gone must not be hammered by a tight loop.
      if (!answer.ok()) {
        timer.expires_after(std::chrono::milliseconds(10));
        co_await timer.async_wait(kAwait);
      }
    }
    if (--lanes_open_ > 0) co_return;
    progress_timer_.cancel();
    stop_waiting();
  }

  void record(const Slot& slot, const Result<LoadAnswer>& answer) {
    const TimeUs now = monotonic_us();
    last_answer_us_ = now;
    if (!answer.ok()) {
      if (result_.errors++ == 0) result_.first_error = answer.error().message;
      return;
    }
    const TimeUs latency_us = now - slot.due_us;
    if (slot.counted) {
      result_.latencies_us.push_back(static_cast<std::uint32_t>(latency_us));
      if (answer->compute_us >= 0)
        result_.overheads_us.push_back(
            static_cast<std::uint32_t>(std::max<TimeUs>(latency_us - answer->compute_us, 0)));
    }
    // Throughput counts what was answered within the measured time, whenever it was sent.
    if (now < counted_from_us_ || now >= end_us_) return;
    ++result_.answered;
    result_.tokens += answer->tokens;
  }

  asio::awaitable<void> show_progress() {
    while (lanes_open_ > 0) {
      progress_timer_.expires_after(kProgressEvery);
      co_await progress_timer_.async_wait(kAwait);
      const TimeUs elapsed_us = std::min(monotonic_us(), end_us_) - counted_from_us_;
      if (elapsed_us > 0)
        progress_(plan_.requests > 0 ? result_.answered
                                     : static_cast<std::uint64_t>(elapsed_us / 1000));
    }
  }

  LoadResult finish() {
    const TimeUs over_us = plan_.requests > 0 ? last_answer_us_ : end_us_;
    result_.seconds = static_cast<double>(std::max<TimeUs>(over_us - counted_from_us_, 1)) / 1e6;
    if (plan_.rate > 0 && plan_.requests == 0) {
      const double due = static_cast<double>(end_us_ - begin_us_) * plan_.rate / 1e6;
      result_.unsent =
          static_cast<std::uint64_t>(due) - std::min(handed_out_, static_cast<std::uint64_t>(due));
    }
    std::sort(result_.latencies_us.begin(), result_.latencies_us.end());
    std::sort(result_.overheads_us.begin(), result_.overheads_us.end());
    return std::move(result_);
  }

  LoadTarget& target_;
  const LoadPlan& plan_;
  const LoadProgress& progress_;
  asio::io_context io_{1};
  std::vector<std::unique_ptr<LoadLane>> lanes_;
  asio::steady_timer progress_timer_;
  asio::signal_set signals_;
  TimeUs begin_us_ = 0, counted_from_us_ = 0, end_us_ = 0, last_answer_us_ = 0;
  std::uint64_t handed_out_ = 0, counted_out_ = 0;
  std::uint32_t lanes_open_ = 0;
  LoadResult result_;
};

}  // namespace

LoadResult run_load(LoadTarget& target, const LoadPlan& plan, const LoadProgress& progress) {
  return Run(target, plan, progress).run();
}

double quantile(const std::vector<std::uint32_t>& sorted, double q) {
  if (sorted.empty()) return 0;
  const auto rank = static_cast<std::size_t>(std::ceil(q * static_cast<double>(sorted.size())));
  return sorted[std::clamp<std::size_t>(rank, 1, sorted.size()) - 1];
}

}  // namespace sheaf::cli
