#pragma once

#include <cstddef>
#include <memory>

namespace sheaf::kernels::cuda::emulation {

// A function with a stack of its own, which runs when it is switched to. Made, run and destroyed by
// one thread.
class Fiber {
 public:
  // The fiber of whoever calls: it can be switched back to.
  Fiber();
  // `run` begins with arrived() and must never return: it ends by switching away.
  using Run = void (*)();
  explicit Fiber(Run run);
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;
  ~Fiber();

  void arrived();

  // Makes it ready to run from its beginning again.
  void rewind();

  // From the calling fiber, `from`, to this one; returns when somebody switches back, which nobody
  // does after rewind().
  void switch_from(Fiber& from);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sheaf::kernels::cuda::emulation
