#pragma once

#include <cstdint>

#include "base/clock.h"
#include "channel/layout.h"

// Wake-ups. Toward the replica a futex word in shared memory (the replica has nothing else to wait
// for, and a futex costs nothing while it is awake); toward the router an eventfd (the router
// waits for it in the same epoll as its sockets).
//
// Both follow one pattern: the sleeper says that it is about to sleep, then looks once more; the
// ringer publishes its news, then looks whether anybody sleeps. With sequentially consistent
// accesses at least one of the two sees the other.
namespace sheaf::channel {

// Router: there are frames for the replica, or there is space in the result ring. No system call
// unless it sleeps for just that: space is given back with every frame read, and a replica that
// waits for work must not wake for it.
void ring_replica(SharedHeader& header, Sleep wanted);
// Replica: the same, of another thread of its own; whatever it sleeps for.
void ring_oneself(SharedHeader& header);
// Replica: the bell's count before looking for news; sleep_unless_rung() returns at once if it has
// changed since, and in any case after `limit_us`; 0: no limit. It does not spin: the router
// answers on the same cores, and would have to wait.
std::uint32_t bell_count(const SharedHeader& header);
void sleep_unless_rung(SharedHeader& header, std::uint32_t count, Sleep wanted,
                       TimeUs limit_us = 0);

// Replica: news for the router in the result ring.
void ring_router(SharedHeader& header, int event_fd);
// Router: asks to be rung for the next news. The caller looks into the ring once more afterwards.
void listen_router(SharedHeader& header);

}  // namespace sheaf::channel
