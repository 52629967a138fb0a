#include "channel/ring.h"

#include <cassert>
#include <string>

namespace sheaf::channel {
namespace {

Error impossible(const char* what, std::uint64_t value) {
  return corrupt(std::string(what) + " is " + std::to_string(value));
}

constexpr std::size_t padded(std::size_t bytes) {
  return (bytes + kFrameAlignment - 1) & ~(kFrameAlignment - 1);
}

}  // namespace

Result<std::optional<std::span<std::byte>>> RingWriter::reserve(FrameType type,
                                                                std::size_t body_bytes) {
  const std::size_t bytes = padded(sizeof(FrameHead) + body_bytes);
  const std::size_t capacity = memory_.capacity();
  assert(bytes <= capacity);
  const std::uint64_t used = position_ - tail_->load(std::memory_order_acquire);
  if (used > capacity || used % kFrameAlignment != 0)
    return impossible("bytes in the ring by its reader's position", used);
  if (bytes > capacity - used) return std::optional<std::span<std::byte>>();

  reserved_bytes_ = static_cast<std::uint32_t>(bytes);
  std::byte* frame = memory_.data() + position_ % capacity;
  const FrameHead head{reserved_bytes_, static_cast<std::uint32_t>(type)};
  std::memcpy(frame, &head, sizeof head);
  return std::optional(std::span(frame + sizeof head, body_bytes));
}

void RingWriter::publish() {
  position_ += reserved_bytes_;
  reserved_bytes_ = 0;
  head_->store(position_, std::memory_order_seq_cst);
}

Result<std::optional<Frame>> RingReader::peek() {
  const std::size_t capacity = memory_.capacity();
  const std::uint64_t available = head_->load(std::memory_order_acquire) - position_;
  if (available == 0) return std::optional<Frame>();
  if (available > capacity || available % kFrameAlignment != 0)
    return impossible("bytes in the ring by its writer's position", available);

  const std::byte* frame = memory_.data() + position_ % capacity;
  const auto head = copy_once<FrameHead>(frame);
  if (head.bytes < sizeof head || head.bytes > available || head.bytes % kFrameAlignment != 0)
    return impossible("a frame's size", head.bytes);
  peeked_bytes_ = head.bytes;
  return std::optional(Frame{static_cast<FrameType>(head.type),
                             std::span(frame + sizeof head, head.bytes - sizeof head)});
}

bool RingReader::release() {
  if (peeked_bytes_ == 0) return false;
  position_ += peeked_bytes_;
  peeked_bytes_ = 0;
  tail_->store(position_, std::memory_order_seq_cst);
  return true;
}

}  // namespace sheaf::channel
