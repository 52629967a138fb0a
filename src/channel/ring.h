#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <span>

#include "base/result.h"
#include "channel/memory.h"

namespace sheaf::channel {

// The two sides of one ring of frames (layout.h). Each belongs to one thread at a time. An error
// means that the peer wrote an impossible position or frame; the channel is then of no more use.

class RingWriter {
 public:
  RingWriter(MirroredMapping memory, std::atomic<std::uint64_t>& head,
             const std::atomic<std::uint64_t>& tail)
      : memory_(std::move(memory)), head_(&head), tail_(&tail) {}

  // Space for a frame with `body_bytes` of body, or nothing while the ring is too full. The span
  // is the body, in shared memory; fill it, then publish(). `body_bytes` fits an empty ring.
  Result<std::optional<std::span<std::byte>>> reserve(FrameType type, std::size_t body_bytes);
  void publish();  // makes the reserved frame visible

 private:
  MirroredMapping memory_;
  std::atomic<std::uint64_t>* head_;
  const std::atomic<std::uint64_t>* tail_;
  std::uint64_t position_ = 0;
  std::uint32_t reserved_bytes_ = 0;
};

struct Frame {
  FrameType type;
  std::span<const std::byte> body;  // in shared memory, padding included
};

class RingReader {
 public:
  RingReader(MirroredMapping memory, const std::atomic<std::uint64_t>& head,
             std::atomic<std::uint64_t>& tail)
      : memory_(std::move(memory)), head_(&head), tail_(&tail) {}

  // The oldest frame not released, if there is one; it stays valid until release(). Its type is
  // not checked.
  Result<std::optional<Frame>> peek();
  // Gives the space of the frame that peek() returned back to the writer; true if there was one.
  bool release();
  // Whether the writer has published anything behind what was released.
  bool empty() const { return head_->load(std::memory_order_acquire) == position_; }

 private:
  MirroredMapping memory_;
  const std::atomic<std::uint64_t>* head_;
  std::atomic<std::uint64_t>* tail_;
  std::uint64_t position_ = 0;
  std::uint32_t peeked_bytes_ = 0;
};

}  // namespace sheaf::channel
