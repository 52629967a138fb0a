#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <variant>

#include "base/fd.h"
#include "base/mapping.h"
#include "base/result.h"
#include "channel/layout.h"
#include "channel/ring.h"

namespace sheaf::channel {

// One text of a batch.
struct Item {
  std::span<const std::int32_t> ids;
  bool normalize = true;
  std::uint32_t dimensions = 0;  // 0 = all
  std::uint32_t second_at = 0;   // as engine::ItemOptions::second_at, for the replica to read
  Output output = Output::vector;
};

// Rows of consecutive items, or a part of a row; the values stay in shared memory until the next
// receive().
struct Rows {
  std::uint64_t batch = 0;
  std::uint32_t first_item = 0;
  std::uint32_t items = 0;        // at least 1
  std::uint32_t stride = 0;       // floats a row
  std::span<const float> values;  // [items, stride]; the replica may still change them
  bool more = false;              // the row of the one item goes on in the next rows
};

// The last word on a batch.
struct Final {
  std::uint64_t batch = 0;
  std::int64_t compute_us = 0;
  std::optional<Error> failure;
};

// The router's end of a replica's channel. One thread at a time. The replica is hostile: frames
// are checked for sizes that contradict themselves; whether batch and items are those that were
// asked for is for the caller to check. After an error the channel is of no more use.
class RouterEnd {
 public:
  // Makes the memfd (its size is sealed) and the eventfd.
  static Result<RouterEnd> create(const Limits& limits);

  int memory_fd() const { return memory_fd_.get(); }  // for the replica
  int event_fd() const { return event_fd_.get(); }    // readable when the replica has news
  const Limits& limits() const { return limits_; }

  // Queues the batch and wakes the replica. False: full at the moment. Errors: beyond the limits
  // (invalid_argument), or a corrupt channel.
  Result<bool> submit(std::uint64_t batch, std::span<const Item> items);
  Result<bool> cancel(std::uint64_t batch);

  using Received = std::variant<std::monostate, Rows, Final>;
  // The next news; monostate if there is none now.
  Result<Received> receive();
  // Asks for the eventfd to be written at the next news, or returns false because there are some
  // already. Call after receive() gave none, and after creation.
  bool listen();

  std::uint64_t progress() const;

 private:
  RouterEnd(Limits limits, Fd memory_fd, Fd event_fd, Mapping header, RingWriter submits,
            RingReader results);
  SharedHeader& header() { return *reinterpret_cast<SharedHeader*>(header_.data()); }
  Result<Received> decode(const Frame& frame) const;

  Limits limits_;
  Fd memory_fd_, event_fd_;
  Mapping header_;
  RingWriter submits_;
  RingReader results_;
};

}  // namespace sheaf::channel
