#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/fd.h"
#include "base/mapping.h"
#include "base/result.h"
#include "channel/bell.h"
#include "channel/layout.h"
#include "channel/ring.h"

namespace sheaf::channel {

struct ItemOptions {
  bool normalize = true;
  std::uint32_t dimensions = 0;    // 0 = all
  std::uint32_t second_at = 0;     // as Item::second_at; less than the text's tokens
  Output output = Output::vector;  // one that the channel carries
};

// Whether a router can ask for this of a text of so many tokens.
Result<ItemOptions> options_of(const WireItem& item, const Limits& limits);

// A batch, copied out of shared memory, texts laid end to end: text i is
// ids[cu_seqlens[i] .. cu_seqlens[i + 1]). Every text has at least one id; the ids' values are not
// checked.
struct Submission {
  std::uint64_t batch = 0;
  std::vector<std::int32_t> ids;
  std::vector<std::uint32_t> cu_seqlens;
  std::vector<ItemOptions> options;
};

struct Cancel {
  std::uint64_t batch = 0;
};

// The replica's end of its channel. One thread at a time. The router's memory is checked like a
// stranger's; after an error the channel is of no more use.
class ReplicaEnd {
 public:
  // Maps the memfd; `event_fd` wakes the router.
  static Result<ReplicaEnd> open(int memory_fd, Fd event_fd);

  const Limits& limits() const { return limits_; }

  using Received = std::variant<std::monostate, Submission, Cancel>;
  // The next order; monostate if there is none now.
  Result<Received> receive();
  // What wait() is given: read before looking for news.
  std::uint32_t bell() { return bell_count(header()); }
  // Sleeps until there may be news since `bell` was read, or wake() was called, and no longer than
  // `limit_us`; 0: no limit.
  void wait(std::uint32_t bell, TimeUs limit_us = 0);
  // Of any thread.
  void wake() { ring_oneself(header()); }

  // Queues rows first_item, first_item + 1, ... in as many frames as needed; waits while the ring
  // is full. `values` is [items, any number of floats]; several items
  // only if they are answered with vectors. Wakes the router for all frames but the
  // last, which send_final() or a following send_rows() does.
  Status send_rows(std::uint64_t batch, std::uint32_t first_item, std::uint32_t items,
                   std::span<const float> values);
  // `failure` may be null; its message is cut to kMaxMessageBytes.
  Status send_final(std::uint64_t batch, std::int64_t compute_us, const Error* failure);

  std::atomic<std::uint64_t>& progress() { return header().progress.value; }

 private:
  ReplicaEnd(Limits limits, Fd event_fd, Mapping header, RingReader submits, RingWriter results);
  SharedHeader& header() { return *reinterpret_cast<SharedHeader*>(header_.data()); }
  Result<Received> decode(const Frame& frame) const;
  Result<std::span<std::byte>> reserve(FrameType type, std::size_t body_bytes);
  Status send_frame(const RowsBody& head, const float* values, bool ring);

  Limits limits_;
  Fd event_fd_;
  Mapping header_;
  RingReader submits_;
  RingWriter results_;
};

}  // namespace sheaf::channel
