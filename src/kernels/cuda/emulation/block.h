#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

// A block of a grid as it runs on this processor, for tests: its threads are fibers of one thread
// of the operating system, which hand over to the next where they wait for each other. Nothing
// depends on time, so a run is reproducible to the bit.
namespace sheaf::kernels::cuda::emulation {

struct Dim3 {
  unsigned x = 1, y = 1, z = 1;
};

// Which fiber is next: a kernel that lacks a barrier shows by one of them or by the other.
enum class Order { forward, backward };

// What a block has besides its number.
struct BlockShape {
  unsigned threads = 1;
  std::size_t shared_bytes = 0;  // of dynamic shared memory, filled with what is no number
  Order order = Order::forward;
};

// Runs `thread` for each thread of one block to its end. Ends the process, with a sentence, where
// the threads wait for each other in a way that a card would not allow: at different places, or for
// one that has returned.
void run_block(const BlockShape& shape, const std::function<void()>& thread);

// Inside of run_block(), by a thread of the block. ---------------------------------------------

std::uint64_t block_number();  // of all that this thread of the operating system ran
unsigned thread_index();
unsigned thread_count();
std::byte* shared_bytes();  // aligned to 16 bytes

void sync_block();

// All lanes of the calling thread's warp meet: each brings `bytes`, at most 64, and gets the
// warp's, in order of lanes, at `all` until it meets them again but one. Warps that are not full
// have fewer lanes.
constexpr unsigned kWarp = 32;
constexpr std::size_t kLaneBytes = 64;
struct Exchange {
  const std::byte* all;  // [lanes, kLaneBytes], aligned to kLaneBytes
  unsigned lane;
  unsigned lanes;
};
Exchange exchange_in_warp(const void* mine, std::size_t bytes);

// All threads of the calling thread's warpgroup meet; blocks that have such are whole ones.
constexpr unsigned kWarpgroupThreads = 128;
void sync_warpgroup();

// Ends the process unless `bytes` from the address on, a multiple of 16, are in shared memory.
void check_shared(const void* address, std::size_t bytes);

// cp.async of 16 bytes, the last of which are 0 where `bytes` are fewer. What it writes is no
// number from here on until the thread awaits it, which is when it reads: what somebody reads too
// early, and what is written while somebody still reads, shows.
void copy_later(const void* from, std::size_t bytes, void* to);
void commit_copies();                 // what the thread copied since the commit before is a group
void await_copies(unsigned pending);  // its groups but for so many of the latest

// fence.proxy.async: what the thread copied and awaited is there for products of warpgroups too.
void show_to_products();
// The 16 bytes at an offset in shared memory, a multiple of 16; ends the process unless they are.
const std::byte* shown_bytes(std::size_t offset);

}  // namespace sheaf::kernels::cuda::emulation
