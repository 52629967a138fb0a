#include "kernels/ranks/shared_communicator.h"

#include <fmt/core.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <climits>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <utility>

#include "base/clock.h"

namespace sheaf::kernels {
namespace {

// Of a rank's share of memory: a sum longer than this goes in turns, while what is added up stays
// in the second-level cache.
constexpr std::size_t kSlotFloats = std::size_t{64} << 10;
constexpr std::size_t kSlotBytes = kSlotFloats * sizeof(float);
// About 20 µs, as threads of one pool wait for each other (cpu/pool.cc).
constexpr int kSpins = 500;

// What ranks wait for is one word, so that neither the end of a meeting nor that of the group can
// be missed for the other: twice the number of meetings that there were, and 1 once the group has
// ended, for good.
constexpr std::uint32_t kEnded = 1;
constexpr std::uint32_t kMeeting = 2;

struct Header {
  alignas(64) std::atomic<std::uint32_t> arrived;  // ranks at the meeting under way
  alignas(64) std::atomic<std::uint32_t> state;
};
static_assert(std::atomic<std::uint32_t>::is_always_lock_free);

// A rank's part of the memory.
struct Slot {
  // Not 0: somebody was this rank. Whoever came after one that died would be counted twice.
  std::atomic<std::uint32_t> taken;
  std::size_t count;  // of values, or of a message's bytes
  alignas(64) float values[kSlotFloats];
};

class SharedCommunicator final : public Communicator {
 public:
  SharedCommunicator(Mapping memory, std::size_t rank, SharedGroup group)
      : memory_(std::move(memory)),
        rank_(rank),
        group_(group),
        header_(*reinterpret_cast<Header*>(memory_.data())),
        slots_(reinterpret_cast<Slot*>(memory_.data() + sizeof(Header))) {}
  ~SharedCommunicator() override { end(); }
  SharedCommunicator(const SharedCommunicator&) = delete;
  SharedCommunicator& operator=(const SharedCommunicator&) = delete;

  bool take_place() { return slots_[rank_].taken.exchange(1, std::memory_order_acq_rel) == 0; }

  std::size_t rank() const override { return rank_; }
  std::size_t ranks() const override { return group_.ranks; }

  Status sum(tensor::MatrixSpan x) override {
    const std::size_t rows =
        std::max<std::size_t>(1, kSlotFloats / std::max<std::size_t>(1, x.columns));
    for (std::size_t column = 0; column < x.columns; column += kSlotFloats) {
      const std::size_t columns = std::min(kSlotFloats, x.columns - column);
      for (std::size_t row = 0; row < x.rows; row += rows)
        SHEAF_TRY(sum_slot(
            x.slice_columns(column, columns).slice_rows(row, std::min(rows, x.rows - row))));
    }
    return {};
  }

  // Piece by piece through the first rank's slot.
  Status share(std::vector<std::byte>& message) override {
    if (rank_ == 0 && message.size() > kMostShared) {
      end();
      return gone(fmt::format("a message has {} bytes, more than {}", message.size(), kMostShared));
    }
    std::size_t at = 0, count = message.size();
    do {
      if (rank_ == 0) {
        slots_[0].count = count;
        copy(slots_[0].values, message.data() + at, std::min(kSlotBytes, count - at));
      }
      SHEAF_TRY(meet(rank_ == 0 || at > 0 ? Wait::patient : Wait::endless));
      if (rank_ != 0) SHEAF_TRY(take_piece(at, count, message));
      SHEAF_TRY(meet());  // the slot may be written again
      at += kSlotBytes;
    } while (at < count);
    return {};
  }

 private:
  enum class Wait { patient, endless };

  // An empty message has no memory, which memcpy() does not take.
  static void copy(void* to, const void* from, std::size_t bytes) {
    if (bytes > 0) std::memcpy(to, from, bytes);
  }

  Status take_piece(std::size_t at, std::size_t& count, std::vector<std::byte>& message) {
    const std::size_t said = slots_[0].count;
    if (said > kMostShared || (at > 0 && said != count)) {
      end();
      return gone(fmt::format("rank 0 says that its message has {} bytes", said));
    }
    count = said;
    message.resize(count);
    copy(message.data() + at, slots_[0].values, std::min(kSlotBytes, count - at));
    return {};
  }

  // Each rank adds up its share of the values, and all read them: twice the memory traffic of one
  // rank, however many there are.
  Status sum_slot(tensor::MatrixSpan x) {
    const std::size_t count = x.rows * x.columns;
    slots_[rank_].count = count;
    for (std::size_t i = 0; i < x.rows; ++i)
      std::copy_n(x.row(i), x.columns, slots_[rank_].values + i * x.columns);
    SHEAF_TRY(meet());
    SHEAF_TRY(check_counts(count));
    float* const sums = slots_[group_.ranks].values;
    const std::size_t first = count * rank_ / group_.ranks;
    const std::size_t last = count * (rank_ + 1) / group_.ranks;
    std::copy(slots_[0].values + first, slots_[0].values + last, sums + first);
    for (std::size_t rank = 1; rank < group_.ranks; ++rank)
      for (std::size_t i = first; i < last; ++i) sums[i] += slots_[rank].values[i];
    SHEAF_TRY(meet());
    for (std::size_t i = 0; i < x.rows; ++i) std::copy_n(sums + i * x.columns, x.columns, x.row(i));
    return {};
  }

  // Ranks that split their rows otherwise, as with another number of threads, would add up what
  // does not belong together.
  Status check_counts(std::size_t count) {
    for (std::size_t rank = 0; rank < group_.ranks; ++rank) {
      if (slots_[rank].count == count) continue;
      end();
      return gone(
          fmt::format("it has {} values where rank {} has {}", count, rank, slots_[rank].count));
    }
    return {};
  }

  // Until all ranks are here.
  Status meet(Wait wait = Wait::patient) {
    const std::uint32_t before = header_.state.load(std::memory_order_acquire);
    if ((before & kEnded) != 0) return gone("another rank has ended");
    if (header_.arrived.fetch_add(1, std::memory_order_acq_rel) + 1 == group_.ranks) {
      header_.arrived.store(0, std::memory_order_relaxed);
      header_.state.fetch_add(kMeeting, std::memory_order_release);
      wake();
      return {};
    }
    for (int spin = 0; spin < kSpins; ++spin) {
      if (header_.state.load(std::memory_order_acquire) != before) break;
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    }
    return wait_for_meeting(before, wait);
  }

  Status wait_for_meeting(std::uint32_t before, Wait wait) {
    const TimeUs until = monotonic_us() + TimeUs{group_.patience_ms} * 1000;
    for (;;) {
      const std::uint32_t now = header_.state.load(std::memory_order_acquire);
      if ((now & ~kEnded) != before) return {};
      if ((now & kEnded) != 0) return gone("another rank has ended");
      const TimeUs left = wait == Wait::endless ? kSecond : until - monotonic_us();
      if (left <= 0) {
        end();
        return gone(fmt::format("another rank is {} ms late", group_.patience_ms));
      }
      const timespec timeout = {.tv_sec = left / kSecond, .tv_nsec = left % kSecond * 1000};
      ::syscall(SYS_futex, &header_.state, FUTEX_WAIT, before, &timeout, nullptr, 0);
    }
  }

  void end() {
    header_.state.fetch_or(kEnded, std::memory_order_release);
    wake();
  }
  void wake() { ::syscall(SYS_futex, &header_.state, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0); }
  Error gone(const std::string& why) const {
    return {ErrorCode::unavailable,
            fmt::format("rank {} of {} cannot go on: {}", rank_, group_.ranks, why)};
  }

  Mapping memory_;
  const std::size_t rank_;
  const SharedGroup group_;
  Header& header_;
  Slot* const slots_;  // [ranks + 1]; the last are the sums
};

}  // namespace

std::size_t shared_group_bytes(std::size_t ranks) {
  return sizeof(Header) + (ranks + 1) * sizeof(Slot);
}

Result<std::unique_ptr<Communicator>> join_shared_group(Mapping memory, std::size_t rank,
                                                        SharedGroup group) {
  if (rank >= group.ranks)
    return Error{ErrorCode::invalid_argument,
                 fmt::format("there is no rank {} of {}", rank, group.ranks)};
  if (memory.size() != shared_group_bytes(group.ranks))
    return Error{ErrorCode::invalid_argument,
                 fmt::format("{} ranks share {} bytes, not {}", group.ranks,
                             shared_group_bytes(group.ranks), memory.size())};
  auto joined = std::make_unique<SharedCommunicator>(std::move(memory), rank, group);
  if (!joined->take_place())  // and in its end it ends the group
    return Error{ErrorCode::unavailable,
                 fmt::format("there was a rank {} of {} already", rank, group.ranks)};
  return std::unique_ptr<Communicator>(std::move(joined));
}

}  // namespace sheaf::kernels
