#include "kernels/cuda/emulation/block.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "kernels/cuda/emulation/fiber.h"

namespace sheaf::kernels::cuda::emulation {
namespace {

[[noreturn]] void refuse(const char* why) {
  std::fprintf(stderr, "emulated block: %s\n", why);
  std::abort();
}

// Where a number of threads meet; it opens when all have come.
struct Barrier {
  unsigned members = 0;
  unsigned arrived = 0;
  std::uint64_t opened = 0;  // how often
};

struct Warp {
  Barrier barrier;
  unsigned lanes = 0;
  // Two meetings' worth: who has left the one before may already bring something to the next.
  std::byte brought[2][kWarp * kLaneBytes];
};

// The fibers of a thread of the operating system, and the block that they run now.
class Block {
 public:
  void run(const BlockShape& shape, const std::function<void()>& thread) {
    begin(shape, thread);
    for (live_ = shape.threads; live_ > 0;) step_to(next_live(current_), scheduler_);
  }

  unsigned current() const { return current_; }
  unsigned threads() const { return shape_.threads; }
  std::byte* shared() { return shared_.get(); }

  void sync() { meet(all_); }

  Exchange exchange(const void* mine, std::size_t bytes) {
    if (bytes > kLaneBytes) refuse("a lane brings more than it may");
    Warp& warp = warps_[current_ / kWarp];
    std::byte* const all = warp.brought[warp.barrier.opened % 2];
    if (bytes > 0) std::memcpy(all + current_ % kWarp * kLaneBytes, mine, bytes);
    if (warp.barrier.members < warp.lanes) refuse("a lane waits for one that has returned");
    meet(warp.barrier);
    return {all, current_ % kWarp, warp.lanes};
  }

 private:
  static void enter();

  void begin(const BlockShape& shape, const std::function<void()>& thread) {
    shape_ = shape;
    thread_ = &thread;
    while (fibers_.size() < shape.threads) fibers_.push_back(std::make_unique<Fiber>(enter));
    for (unsigned i = 0; i < shape.threads; ++i) fibers_[i]->rewind();
    done_.assign(shape.threads, false);
    all_ = {.members = shape.threads};
    warps_.resize((shape.threads + kWarp - 1) / kWarp);
    for (unsigned i = 0; i < warps_.size(); ++i) {
      warps_[i].lanes = std::min(kWarp, shape.threads - i * kWarp);
      warps_[i].barrier = {.members = warps_[i].lanes};
    }
    // Of exactly its size, so that a sanitizer sees what lies behind it.
    shared_.reset(new std::byte[shape.shared_bytes]);
    std::memset(shared_.get(), 0xff, shape.shared_bytes);
    idle_ = 0;
    current_ = shape.order == Order::forward ? shape.threads - 1 : 0;
  }

  void meet(Barrier& barrier) {
    const std::uint64_t mine = barrier.opened;
    idle_ = 0;
    if (++barrier.arrived == barrier.members) {
      barrier.arrived = 0;
      ++barrier.opened;
      return;
    }
    while (barrier.opened == mine) {
      // A whole round in which nobody came to a barrier or returned: nobody ever will.
      if (++idle_ > live_ + 1) refuse("its threads wait for each other at different places");
      step_to(next_live(current_), *fibers_[current_]);
    }
    idle_ = 0;
  }

  void finish() {
    if (all_.arrived > 0 || warps_[current_ / kWarp].barrier.arrived > 0)
      refuse("a thread returned for which others wait");
    --all_.members;
    --warps_[current_ / kWarp].barrier.members;
    done_[current_] = true;
    idle_ = 0;
    Fiber& self = *fibers_[current_];
    if (--live_ == 0) return scheduler_.switch_from(self);
    step_to(next_live(current_), self);
  }

  unsigned next_live(unsigned from) const {
    const unsigned n = shape_.threads;
    do from = shape_.order == Order::forward ? (from + 1) % n : (from + n - 1) % n;
    while (done_[from]);
    return from;
  }

  void step_to(unsigned next, Fiber& from) {
    if (fibers_[next].get() == &from) return;
    current_ = next;
    fibers_[next]->switch_from(from);
  }

  BlockShape shape_;
  const std::function<void()>* thread_ = nullptr;
  Fiber scheduler_;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<char> done_;
  std::unique_ptr<std::byte[]> shared_;
  Barrier all_;
  std::vector<Warp> warps_;
  unsigned current_ = 0;
  unsigned live_ = 0;  // threads that have not returned
  unsigned idle_ = 0;  // steps since somebody came to a barrier, left one, or returned
};

Block& block() {
  thread_local Block block;
  return block;
}

void Block::enter() {
  Block& self = block();
  self.fibers_[self.current_]->arrived();
  (*self.thread_)();
  self.finish();
}

}  // namespace

void run_block(const BlockShape& shape, const std::function<void()>& thread) {
  block().run(shape, thread);
}

unsigned thread_index() { return block().current(); }
unsigned thread_count() { return block().threads(); }
std::byte* shared_bytes() { return block().shared(); }
void sync_block() { block().sync(); }
Exchange exchange_in_warp(const void* mine, std::size_t bytes) {
  return block().exchange(mine, bytes);
}

}  // namespace sheaf::kernels::cuda::emulation
