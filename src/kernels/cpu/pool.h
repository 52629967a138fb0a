#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

namespace sheaf::kernels::cpu {

// Fork and join over a fixed set of threads, the caller being thread 0. Between two runs the others
// spin for some microseconds (layers follow each other at that pace), then sleep on a futex. A run
// waits for the tasks, not for the threads: one that the system has not let run meanwhile (its core
// is busy with another process) finds the run closed and holds nobody up. One thread calls run().
class Pool {
 public:
  // What a pool raises, if it is there.
  struct Counters {
    std::atomic<std::uint64_t>* progress = nullptr;  // after every task
    std::atomic<std::uint64_t>* busy_ns = nullptr;   // by each thread's time within tasks
  };
  Pool(int threads, Counters counters);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int threads() const { return static_cast<int>(slices_.size()); }

  // Calls body(task, thread) once for each task in [0, tasks), thread in [0, threads()), and
  // returns when all have ended. Neighbouring tasks tend to run on one thread, and the same ones
  // there in the next run, so that data stays in that core's cache; who ends early takes from the
  // others.
  template <class Body>
  void run(std::size_t tasks, Body&& body) {
    run_job({[](void* context, std::size_t task, int thread) {
               (*static_cast<std::remove_reference_t<Body>*>(context))(task, thread);
             },
             const_cast<void*>(static_cast<const void*>(&body))},
            tasks);
  }

 private:
  struct Job {
    void (*call)(void* context, std::size_t task, int thread) = nullptr;
    void* context = nullptr;
  };
  // A thread's share of the tasks; the padding keeps two threads' counters off one cache line.
  struct alignas(64) Slice {
    std::atomic<std::size_t> next{0};
    std::size_t end = 0;
  };

  void run_job(Job job, std::size_t tasks);
  void work(int thread);
  bool enter(std::uint32_t& seen);
  void leave();
  void run_slice(Slice& slice, int thread);
  void finish_tasks(int thread);
  void advance();
  void count_busy(std::int64_t start_ns);

  const Counters counters_;
  std::vector<Slice> slices_;
  Job job_;
  // Number of the run, whether it is closed, and how many workers are inside it: see pool.cc.
  alignas(64) std::atomic<std::uint32_t> state_;
  bool stop_ = false;
  std::vector<std::thread> workers_;
};

}  // namespace sheaf::kernels::cpu
