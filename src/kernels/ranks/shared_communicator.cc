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

// What ranks wait for is one word, so that neither what it counts nor the end of the group can be
// missed for the other: twice the count, and 1 once the group has ended, for good.
using Word = std::atomic<std::uint32_t>;
constexpr std::uint32_t kEnded = 1;
constexpr std::uint32_t kOne = 2;
static_assert(Word::is_always_lock_free);

struct Header {
  alignas(64) std::atomic<std::uint32_t> arrived;  // ranks at the meeting under way
  alignas(64) Word meetings;                       // that there were
};

// A rank's part of the memory.
struct Slot {
  // Not 0: somebody was this rank. Whoever came after one that died would be counted twice.
  std::atomic<std::uint32_t> taken;
  std::size_t count;  // of values, or of a message's bytes
  alignas(64) float values[kSlotFloats];
};

// What one rank sends to another goes through a ring of pieces of their own. Counts go on beyond
// the largest number, which kPieces divides.
constexpr std::uint32_t kPieces = 4;
struct Pipe {
  alignas(64) Word sent;
  alignas(64) Word taken;
};
struct Piece {
  std::size_t bytes;  // of all that it is a piece of
  alignas(64) std::byte data[kSlotBytes];
};

// [Header][Pipe: ranks x ranks][Slot: ranks + 1][Piece: ranks x ranks x kPieces]
std::size_t slots_at(std::size_t ranks) { return sizeof(Header) + ranks * ranks * sizeof(Pipe); }
std::size_t pieces_at(std::size_t ranks) { return slots_at(ranks) + (ranks + 1) * sizeof(Slot); }

// Calls body(part) for what a matrix consists of, in order, `most` elements each at the most.
template <class Matrix, class Body>
Status for_parts(const Matrix& x, std::size_t most, Body body) {
  const std::size_t rows = std::max<std::size_t>(1, most / std::max<std::size_t>(1, x.columns));
  for (std::size_t column = 0; column < x.columns; column += most) {
    const std::size_t columns = std::min(most, x.columns - column);
    for (std::size_t row = 0; row < x.rows; row += rows)
      SHEAF_TRY(
          body(x.slice_columns(column, columns).slice_rows(row, std::min(rows, x.rows - row))));
  }
  return {};
}

class SharedCommunicator final : public Communicator {
 public:
  SharedCommunicator(Mapping memory, std::size_t rank, SharedGroup group)
      : memory_(std::move(memory)),
        rank_(rank),
        group_(group),
        header_(*reinterpret_cast<Header*>(memory_.data())),
        pipes_(reinterpret_cast<Pipe*>(memory_.data() + sizeof(Header))),
        slots_(reinterpret_cast<Slot*>(memory_.data() + slots_at(group.ranks))),
        pieces_(reinterpret_cast<Piece*>(memory_.data() + pieces_at(group.ranks))) {}
  ~SharedCommunicator() override { end(); }
  SharedCommunicator(const SharedCommunicator&) = delete;
  SharedCommunicator& operator=(const SharedCommunicator&) = delete;

  bool take_place() { return slots_[rank_].taken.exchange(1, std::memory_order_acq_rel) == 0; }

  std::size_t rank() const override { return rank_; }
  std::size_t ranks() const override { return group_.ranks; }

  Status meet() override { return arrive(Wait::endless); }

  Status sum(tensor::MatrixSpan x) override {
    return for_parts(x, kSlotFloats, [this](tensor::MatrixSpan part) { return sum_slot(part); });
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
      SHEAF_TRY(arrive(rank_ == 0 || at > 0 ? Wait::patient : Wait::endless));
      if (rank_ != 0) SHEAF_TRY(take_piece(at, count, message));
      SHEAF_TRY(arrive());  // the slot may be written again
      at += kSlotBytes;
    } while (at < count);
    return {};
  }

  Status send(std::size_t to, tensor::TypedView x) override {
    const std::size_t size = size_of(x.dtype);
    Pipe& pipe = pipe_of(rank_, to);
    return for_parts(x, kSlotBytes / size, [&](tensor::TypedView part) -> Status {
      SHEAF_ASSIGN(Piece* const piece, free_piece(pipe, to));
      piece->bytes = x.rows * x.columns * size;
      for (std::size_t i = 0; i < part.rows; ++i)
        std::memcpy(piece->data + i * part.columns * size, part.data + i * part.stride * size,
                    part.columns * size);
      count_one(pipe.sent);
      return {};
    });
  }

  Status receive(std::size_t from, tensor::TypedSpan x) override {
    const std::size_t size = size_of(x.dtype);
    Pipe& pipe = pipe_of(from, rank_);
    return for_parts(x, kSlotBytes / size, [&](tensor::TypedSpan part) -> Status {
      SHEAF_ASSIGN(const Piece* const piece, next_piece(pipe, from));
      SHEAF_TRY(check_sent(from, piece->bytes, x.rows * x.columns * size));
      for (std::size_t i = 0; i < part.rows; ++i)
        std::memcpy(part.data + i * part.stride * size, piece->data + i * part.columns * size,
                    part.columns * size);
      count_one(pipe.taken);
      return {};
    });
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
    SHEAF_TRY(arrive());
    SHEAF_TRY(check_counts(count));
    float* const sums = slots_[group_.ranks].values;
    const std::size_t first = count * rank_ / group_.ranks;
    const std::size_t last = count * (rank_ + 1) / group_.ranks;
    std::copy(slots_[0].values + first, slots_[0].values + last, sums + first);
    for (std::size_t rank = 1; rank < group_.ranks; ++rank)
      for (std::size_t i = first; i < last; ++i) sums[i] += slots_[rank].values[i];
    SHEAF_TRY(arrive());
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

  Pipe& pipe_of(std::size_t from, std::size_t to) const { return pipes_[from * group_.ranks + to]; }
  Piece* piece_of(std::size_t from, std::size_t to, std::uint32_t count) const {
    return pieces_ + (from * group_.ranks + to) * kPieces + count / kOne % kPieces;
  }

  // The next to be written.
  Result<Piece*> free_piece(Pipe& pipe, std::size_t to) {
    const std::uint32_t sent = pipe.sent.load(std::memory_order_relaxed);
    if ((sent & kEnded) != 0) return gone("another rank has ended");
    SHEAF_TRY(wait_for(pipe.taken, Wait::patient,
                       [=](std::uint32_t taken) { return sent - taken < kPieces * kOne; }));
    return piece_of(rank_, to, sent);
  }

  // The next to be read.
  Result<const Piece*> next_piece(Pipe& pipe, std::size_t from) {
    const std::uint32_t taken = pipe.taken.load(std::memory_order_relaxed) & ~kEnded;
    SHEAF_TRY(
        wait_for(pipe.sent, Wait::patient, [=](std::uint32_t sent) { return sent != taken; }));
    return piece_of(from, rank_, taken);
  }

  Status check_sent(std::size_t from, std::size_t bytes, std::size_t wanted) {
    if (bytes == wanted) return {};
    end();
    return gone(fmt::format("it takes {} bytes where rank {} sends {}", wanted, from, bytes));
  }

  // Until all ranks are here.
  Status arrive(Wait wait = Wait::patient) {
    const std::uint32_t before = header_.meetings.load(std::memory_order_acquire);
    if ((before & kEnded) != 0) return gone("another rank has ended");
    if (header_.arrived.fetch_add(1, std::memory_order_acq_rel) + 1 == group_.ranks) {
      header_.arrived.store(0, std::memory_order_relaxed);
      count_one(header_.meetings);
      return {};
    }
    return wait_for(header_.meetings, wait,
                    [=](std::uint32_t meetings) { return meetings != before; });
  }

  // Until what the word counts is as it is wanted.
  template <class Wanted>
  Status wait_for(Word& word, Wait wait, Wanted wanted) {
    for (int spin = 0; spin < kSpins; ++spin) {
      const std::uint32_t now = word.load(std::memory_order_acquire);
      if (wanted(now & ~kEnded) || (now & kEnded) != 0) break;
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    }
    std::uint64_t progress = group_progress();
    TimeUs until = monotonic_us() + patience_us();
    for (;;) {
      const std::uint32_t now = word.load(std::memory_order_acquire);
      if (wanted(now & ~kEnded)) return {};
      if ((now & kEnded) != 0) return gone("another rank has ended");
      if (progress != group_progress()) {
        progress = group_progress();
        until = monotonic_us() + patience_us();
      }
      const TimeUs left = wait == Wait::endless ? kSecond : until - monotonic_us();
      if (left <= 0) {
        end();
        return gone(fmt::format("another rank is {} ms late", group_.patience_ms));
      }
      const timespec timeout = {.tv_sec = left / kSecond, .tv_nsec = left % kSecond * 1000};
      ::syscall(SYS_futex, &word, FUTEX_WAIT, now, &timeout, nullptr, 0);
    }
  }

  TimeUs patience_us() const { return TimeUs{group_.patience_ms} * 1000; }
  std::uint64_t group_progress() const {
    return group_.progress == nullptr ? 0 : group_.progress->load(std::memory_order_relaxed);
  }

  static void count_one(Word& word) {
    word.fetch_add(kOne, std::memory_order_release);
    wake(word);
  }
  static void end(Word& word) {
    word.fetch_or(kEnded, std::memory_order_release);
    wake(word);
  }
  void end() {
    end(header_.meetings);
    for (std::size_t i = 0; i < group_.ranks * group_.ranks; ++i) {
      end(pipes_[i].sent);
      end(pipes_[i].taken);
    }
  }
  static void wake(Word& word) {
    ::syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
  }
  Error gone(const std::string& why) const {
    return {ErrorCode::unavailable,
            fmt::format("rank {} of {} cannot go on: {}", rank_, group_.ranks, why)};
  }

  Mapping memory_;
  const std::size_t rank_;
  const SharedGroup group_;
  Header& header_;
  Pipe* const pipes_;    // [from][to]
  Slot* const slots_;    // [ranks + 1]; the last are the sums
  Piece* const pieces_;  // [from][to][kPieces]
};

}  // namespace

std::size_t shared_group_bytes(std::size_t ranks) {
  return pieces_at(ranks) + ranks * ranks * kPieces * sizeof(Piece);
}
std::size_t shared_sum_bytes(std::size_t ranks) { return pieces_at(ranks); }
std::size_t shared_send_bytes() { return sizeof(Pipe) + kPieces * sizeof(Piece); }

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
