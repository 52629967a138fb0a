#include "kernels/cpu/pool.h"

namespace sheaf::kernels::cpu {
namespace {

// About 20 us at 40 ns a pause: longer than the gap between two operations, shorter than a
// scheduler's tick.
constexpr int kSpins = 500;

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

Pool::Pool(int threads, std::atomic<std::uint64_t>* progress)
    : progress_(progress), slices_(static_cast<std::size_t>(threads < 1 ? 1 : threads)) {
  for (int thread = 1; thread < this->threads(); ++thread)
    workers_.emplace_back([this, thread] { work(thread); });
}

Pool::~Pool() {
  stop_ = true;
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void Pool::run_job(Job job, std::size_t tasks) {
  if (workers_.empty() || tasks == 1) {
    for (std::size_t task = 0; task < tasks; ++task) {
      job.call(job.context, task, 0);
      advance();
    }
    return;
  }
  job_ = job;
  const std::size_t count = slices_.size();
  for (std::size_t i = 0; i < count; ++i) {
    slices_[i].next.store(tasks * i / count, std::memory_order_relaxed);
    slices_[i].end = tasks * (i + 1) / count;
  }
  working_.store(static_cast<std::uint32_t>(workers_.size()), std::memory_order_relaxed);
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  finish_tasks(0);
  while (const std::uint32_t working = working_.load(std::memory_order_acquire))
    await_change(working_, working);
}

void Pool::work(int thread) {
  std::uint32_t round = 0;
  while (true) {
    await_change(round_, round);
    ++round;
    if (stop_) return;
    finish_tasks(thread);
    if (working_.fetch_sub(1, std::memory_order_acq_rel) == 1) working_.notify_one();
  }
}

void Pool::finish_tasks(int thread) {
  const std::size_t count = slices_.size();
  for (std::size_t i = 0; i < count; ++i)
    run_slice(slices_[(static_cast<std::size_t>(thread) + i) % count], thread);
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
  if (progress_ != nullptr) progress_->fetch_add(1, std::memory_order_relaxed);
}

}  // namespace sheaf::kernels::cpu
