#include "kernels/cuda/emulation/block.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>
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
  alignas(kLaneBytes) std::byte brought[2][kWarp * kLaneBytes];
};

struct Copy {
  const void* from;
  std::size_t bytes;
  std::byte* to;
};
constexpr std::size_t kCopyBytes = 16;

// What a thread copies, in its order.
struct Copies {
  std::vector<Copy> waiting;
  std::vector<std::size_t> groups;  // copies of each, all of which come before the rest
  std::vector<std::size_t> hidden;  // of Block::hidden_
};

bool is_aligned(const void* address) {
  return reinterpret_cast<std::uintptr_t>(address) % kCopyBytes == 0;
}

// The fibers of a thread of the operating system, and the block that they run now.
class Block {
 public:
  void run(const BlockShape& shape, const std::function<void()>& thread) {
    begin(shape, thread);
    for (live_ = shape.threads; live_ > 0;) step_to(next_live(current_), scheduler_);
  }

  std::uint64_t number() const { return number_; }
  unsigned current() const { return current_; }
  unsigned threads() const { return shape_.threads; }
  std::byte* shared() { return shared_.get(); }

  void sync() { meet(all_); }
  void sync_warpgroup() {
    if (shape_.threads % kWarpgroupThreads != 0) refuse("its warpgroups are not whole");
    meet(warpgroups_[current_ / kWarpgroupThreads]);
  }

  Exchange exchange(const void* mine, std::size_t bytes) {
    if (bytes > kLaneBytes) refuse("a lane brings more than it may");
    Warp& warp = warps_[current_ / kWarp];
    std::byte* const all = warp.brought[warp.barrier.opened % 2];
    if (bytes > 0) std::memcpy(all + current_ % kWarp * kLaneBytes, mine, bytes);
    if (warp.barrier.members < warp.lanes) refuse("a lane waits for one that has returned");
    meet(warp.barrier);
    return {all, current_ % kWarp, warp.lanes};
  }

  void check_shared(const void* address, std::size_t bytes) const {
    const auto* at = static_cast<const std::byte*>(address);
    if (!is_aligned(at)) refuse("an address in shared memory is no multiple of 16");
    if (at < shared_.get() || at + bytes > shared_.get() + shape_.shared_bytes)
      refuse("an address is not in shared memory");
  }

  void copy_later(const void* from, std::size_t bytes, void* to) {
    check_shared(to, kCopyBytes);
    if (!is_aligned(from)) refuse("a copy is from no multiple of 16");
    if (bytes > kCopyBytes) refuse("a copy is of more than 16 bytes");
    std::memset(to, 0xff, kCopyBytes);
    copies_[current_].waiting.push_back({from, bytes, static_cast<std::byte*>(to)});
  }
  void commit_copies() {
    Copies& mine = copies_[current_];
    const std::size_t before =
        std::accumulate(mine.groups.begin(), mine.groups.end(), std::size_t{0});
    mine.groups.push_back(mine.waiting.size() - before);
  }
  void await_copies(unsigned pending) {
    Copies& mine = copies_[current_];
    const auto groups = static_cast<std::ptrdiff_t>(mine.groups.size());
    const std::ptrdiff_t ended = std::max<std::ptrdiff_t>(groups - pending, 0);
    const std::size_t copies =
        std::accumulate(mine.groups.begin(), mine.groups.begin() + ended, std::size_t{0});
    for (std::size_t i = 0; i < copies; ++i) {
      const Copy& copy = mine.waiting[i];
      std::memset(copy.to, 0, kCopyBytes);
      std::memcpy(copy.to, copy.from, copy.bytes);
      mine.hidden.push_back(static_cast<std::size_t>(copy.to - shared_.get()) / kCopyBytes);
      hidden_[mine.hidden.back()] = true;
    }
    mine.groups.erase(mine.groups.begin(), mine.groups.begin() + ended);
    mine.waiting.erase(mine.waiting.begin(),
                       mine.waiting.begin() + static_cast<std::ptrdiff_t>(copies));
  }
  void show_to_products() {
    for (const std::size_t part : copies_[current_].hidden) hidden_[part] = false;
    copies_[current_].hidden.clear();
  }
  const std::byte* shown(std::size_t offset) const {
    if (offset + kCopyBytes > shape_.shared_bytes)
      refuse("a product's operand is not in shared memory");
    if (hidden_[offset / kCopyBytes])
      refuse("a product reads a copy that was not shown to products");
    return shared_.get() + offset;
  }

 private:
  static void enter();

  void begin(const BlockShape& shape, const std::function<void()>& thread) {
    ++number_;
    shape_ = shape;
    thread_ = &thread;
    while (fibers_.size() < shape.threads) fibers_.push_back(std::make_unique<Fiber>(enter));
    for (unsigned i = 0; i < shape.threads; ++i) fibers_[i]->rewind();
    done_.assign(shape.threads, false);
    all_ = {.members = shape.threads};
    copies_.assign(shape.threads, {});
    warps_.resize((shape.threads + kWarp - 1) / kWarp);
    for (unsigned i = 0; i < warps_.size(); ++i) {
      warps_[i].lanes = std::min(kWarp, shape.threads - i * kWarp);
      warps_[i].barrier = {.members = warps_[i].lanes};
    }
    // Of exactly its size, so that a sanitizer sees what lies behind it.
    if (shared_ == nullptr || shape.shared_bytes != shared_size_)
      shared_.reset(new std::byte[shared_size_ = shape.shared_bytes]);
    std::memset(shared_.get(), 0xff, shape.shared_bytes);
    hidden_.assign(shape.shared_bytes / kCopyBytes + 1, false);
    warpgroups_.assign(shape.threads / kWarpgroupThreads, {.members = kWarpgroupThreads});
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
    const unsigned group = current_ / kWarpgroupThreads;
    if (all_.arrived > 0 || warps_[current_ / kWarp].barrier.arrived > 0 ||
        (group < warpgroups_.size() && warpgroups_[group].arrived > 0))
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

  std::uint64_t number_ = 0;
  BlockShape shape_;
  const std::function<void()>* thread_ = nullptr;
  Fiber scheduler_;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<char> done_;
  std::unique_ptr<std::byte[]> shared_;
  std::size_t shared_size_ = 0;
  Barrier all_;
  std::vector<Warp> warps_;
  std::vector<Barrier> warpgroups_;
  std::vector<Copies> copies_;  // of each thread
  // Of each 16 bytes of shared memory, whether a copy is there that products cannot see yet.
  std::vector<char> hidden_;
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

void sync_warpgroup() { block().sync_warpgroup(); }
void show_to_products() { block().show_to_products(); }
const std::byte* shown_bytes(std::size_t offset) { return block().shown(offset); }
std::uint64_t block_number() { return block().number(); }
unsigned thread_index() { return block().current(); }
unsigned thread_count() { return block().threads(); }
std::byte* shared_bytes() { return block().shared(); }
void sync_block() { block().sync(); }
Exchange exchange_in_warp(const void* mine, std::size_t bytes) {
  return block().exchange(mine, bytes);
}
void check_shared(const void* address, std::size_t bytes) { block().check_shared(address, bytes); }
void copy_later(const void* from, std::size_t bytes, void* to) {
  block().copy_later(from, bytes, to);
}
void commit_copies() { block().commit_copies(); }
void await_copies(unsigned pending) { block().await_copies(pending); }

}  // namespace sheaf::kernels::cuda::emulation
