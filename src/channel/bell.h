#pragma once

#include <cstdint>

#include "channel/layout.h"

// Wake-ups. Toward the replica a futex word in shared memory (the replica has nothing else to wait
// for, and a futex costs nothing while it is awake); toward the router an eventfd (the router
// waits for it in the same epoll as its sockets).
//
// Both follow one pattern: the sleeper says that it is about to sleep, then looks once more; the
// ringer publishes its news, then looks whether anybody sleeps. With sequentially consistent
// accesses at least one of the two sees the other.
namespace sheaf::channel {

// Router: something changed that the replica may wait for. No system call while it is awake.
void ring_replica(SharedHeader& header);
// Replica: the bell's count before looking for news; sleep_unless_rung() returns at once if it has
// changed since. Spins for `spin_us` first: a wake-up through the scheduler costs more than that.
std::uint32_t bell_count(const SharedHeader& header);
void sleep_unless_rung(SharedHeader& header, std::uint32_t count, std::uint32_t spin_us);

// Replica: news for the router in the result ring.
void ring_router(SharedHeader& header, int event_fd);
// Router: asks to be rung for the next news. The caller looks into the ring once more afterwards.
void listen_router(SharedHeader& header);

}  // namespace sheaf::channel
