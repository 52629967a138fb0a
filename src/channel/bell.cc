#include "channel/bell.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#include <ctime>

namespace sheaf::channel {
namespace {

// Not FUTEX_PRIVATE: the word is shared between two processes.
void futex(std::atomic<std::uint32_t>& word, int operation, std::uint32_t value,
           const timespec* limit = nullptr) {
  ::syscall(SYS_futex, &word, operation, value, limit, nullptr, 0);
}

}  // namespace

void ring_replica(SharedHeader& header, Sleep wanted) {
  header.replica_bell.value.fetch_add(1, std::memory_order_seq_cst);
  const auto wanted_value = static_cast<std::uint32_t>(wanted);
  if (header.replica_sleeps.value.load(std::memory_order_seq_cst) == wanted_value)
    futex(header.replica_bell.value, FUTEX_WAKE, INT_MAX);
}

void ring_oneself(SharedHeader& header) {
  header.replica_bell.value.fetch_add(1, std::memory_order_seq_cst);
  if (header.replica_sleeps.value.load(std::memory_order_seq_cst) !=
      static_cast<std::uint32_t>(Sleep::awake))
    futex(header.replica_bell.value, FUTEX_WAKE, INT_MAX);
}

std::uint32_t bell_count(const SharedHeader& header) {
  return header.replica_bell.value.load(std::memory_order_seq_cst);
}

void sleep_unless_rung(SharedHeader& header, std::uint32_t count, Sleep wanted, TimeUs limit_us) {
  const timespec limit = {limit_us / 1'000'000, limit_us % 1'000'000 * 1'000};
  auto& sleeps = header.replica_sleeps.value;
  sleeps.store(static_cast<std::uint32_t>(wanted), std::memory_order_seq_cst);
  futex(header.replica_bell.value, FUTEX_WAIT, count, limit_us > 0 ? &limit : nullptr);
  sleeps.store(static_cast<std::uint32_t>(Sleep::awake), std::memory_order_seq_cst);
}

void ring_router(SharedHeader& header, int event_fd) {
  if (header.router_listens.value.load(std::memory_order_seq_cst) == 0) return;
  if (header.router_listens.value.exchange(0, std::memory_order_seq_cst) == 0) return;
  // Cannot fail in a way that matters: a full counter (EAGAIN) already wakes the router.
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(event_fd, &one, sizeof one);
}

void listen_router(SharedHeader& header) {
  header.router_listens.value.store(1, std::memory_order_seq_cst);
}

}  // namespace sheaf::channel
