#include "kernels/cpu/pool.h"

#include "base/clock.h"

namespace sheaf::kernels::cpu {
namespace {

// About 20 us at 40 ns a pause: longer than the gap between two operations, shorter than a
// scheduler's tick.
constexpr int kSpins = 500;

// The state: workers inside in the low bits, then whether the run is closed, then its number.
constexpr std::uint32_t kInside = 0xFFF;
constexpr std::uint32_t kClosed = 0x1000;
constexpr std::uint32_t kRun = 0x2000;

std::uint32_t run_of(std::uint32_t state) { return state / kRun; }

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Returns once `value` no longer equals `old`.
void await_change(const std::atomic<std::uint32_t>& value, std::uint32_t old) {
  for (int spin = 0; spin < kSpins; ++spin) {
    if (value.load(std::memory_order_acquire) != old) return;
    pause();
  }
  value.wait(old, std::memory_order_acquire);
}

}  // namespace

Pool::Pool(int threads, Counters counters)
    : counters_(counters),
      slices_(static_cast<std::size_t>(threads < 1 ? 1 : threads)),
      state_(kClosed) {
  for (int thread = 1; thread < this->threads(); ++thread)
    workers_.emplace_back([this, thread] { work(thread); });
}

Pool::~Pool() {
  stop_ = true;
  state_.store((run_of(state_) + 1) * kRun, std::memory_order_release);
  state_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void Pool::run_job(Job job, std::size_t tasks) {
  if (workers_.empty() || tasks == 1) {
    const std::int64_t start_ns = counters_.busy_ns == nullptr ? 0 : monotonic_ns();
    for (std::size_t task = 0; task < tasks; ++task) {
      job.call(job.context, task, 0);
      advance();
    }
    count_busy(start_ns);
    return;
  }
  job_ = job;
  const std::size_t count = slices_.size();
  for (std::size_t i = 0; i < count; ++i) {
    slices_[i].next.store(tasks * i / count, std::memory_order_relaxed);
    slices_[i].end = tasks * (i + 1) / count;
  }
  state_.store((run_of(state_.load(std::memory_order_relaxed)) + 1) * kRun,
               std::memory_order_release);
  state_.notify_all();
  finish_tasks(0);
  // No task is left to take. Shut the door, and wait for those who are at their last one.
  std::uint32_t state = state_.fetch_or(kClosed, std::memory_order_acq_rel) | kClosed;
  while ((state & kInside) != 0) {
    await_change(state_, state);
    state = state_.load(std::memory_order_acquire);
  }
}

void Pool::work(int thread) {
  std::uint32_t seen = 0;
  while (enter(seen)) {
    finish_tasks(thread);
    leave();
  }
}

// Waits for an open run that this thread has not been in yet, and is counted in it; false: stop.
bool Pool::enter(std::uint32_t& seen) {
  std::uint32_t state = state_.load(std::memory_order_acquire);
  while (true) {
    if ((state & kClosed) != 0 || run_of(state) == seen) {
      await_change(state_, state);
      state = state_.load(std::memory_order_acquire);
    } else if (state_.compare_exchange_weak(state, state + 1, std::memory_order_acq_rel,
                                            std::memory_order_acquire)) {
      seen = run_of(state);
      return !stop_;
    }
  }
}

// Only the caller waits for this, and only once the run is closed.
void Pool::leave() {
  const std::uint32_t before = state_.fetch_sub(1, std::memory_order_acq_rel);
  if ((before & kClosed) != 0 && (before & kInside) == 1) state_.notify_all();
}

void Pool::finish_tasks(int thread) {
  const std::int64_t start_ns = counters_.busy_ns == nullptr ? 0 : monotonic_ns();
  const std::size_t count = slices_.size();
  for (std::size_t i = 0; i < count; ++i)
    run_slice(slices_[(static_cast<std::size_t>(thread) + i) % count], thread);
  count_busy(start_ns);
}

void Pool::run_slice(Slice& slice, int thread) {
  while (true) {
    const std::size_t task = slice.next.fetch_add(1, std::memory_order_relaxed);
    if (task >= slice.end) return;
    job_.call(job_.context, task, thread);
    advance();
  }
}

void Pool::advance() {
  if (counters_.progress != nullptr) counters_.progress->fetch_add(1, std::memory_order_relaxed);
}

void Pool::count_busy(std::int64_t start_ns) {
  if (counters_.busy_ns != nullptr)
    counters_.busy_ns->fetch_add(static_cast<std::uint64_t>(monotonic_ns() - start_ns),
                                 std::memory_order_relaxed);
}

}  // namespace sheaf::kernels::cpu
