#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

namespace sheaf::kernels::cpu {

// Fork and join over a fixed set of threads, the caller being thread 0. Between two runs the others
// spin for some microseconds (layers follow each other at that pace), then sleep on a futex. One
// thread calls run().
class Pool {
 public:
  // `progress`, if any, is raised after every task.
  Pool(int threads, std::atomic<std::uint64_t>* progress);
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
  void run_slice(Slice& slice, int thread);
  void finish_tasks(int thread);
  void advance();

  std::atomic<std::uint64_t>* progress_;
  std::vector<Slice> slices_;
  Job job_;
  alignas(64) std::atomic<std::uint32_t> round_{0};  // raised to start a run
  alignas(64) std::atomic<std::uint32_t> working_{
      0};  // threads beside the caller that have not ended it
  bool stop_ = false;
  std::vector<std::thread> workers_;
};

}  // namespace sheaf::kernels::cpu
