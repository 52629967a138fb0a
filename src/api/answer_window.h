#pragma once

#include <grpcpp/support/byte_buffer.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "base/result.h"
#include "core/core.h"

namespace sheaf::api {

// The messages of one stream that are under way: numbered as they came, answered in any order,
// their answers taken in the order of the messages. Bounded, so that neither a client that sends
// and does not read nor answers that overtake a slow one can fill the memory: it counts messages
// until their answers are taken. Not thread-safe.
class AnswerWindow {
 public:
  using Number = std::uint64_t;

  explicit AnswerWindow(std::size_t messages_max) : messages_max_(messages_max) {}

  bool empty() const { return slots_.empty(); }
  // Is there room for one more? Always if it is empty.
  bool room() const;

  Number open(const grpc::ByteBuffer& message);
  // The rest may name messages whose answers have been taken: then they do nothing.
  const grpc::ByteBuffer* message(Number number) const;  // null then, and when answered
  void began(Number number, core::RequestId request);    // as the router knows it
  void answer(Number number, Result<grpc::ByteBuffer> answer);

  // The next answer in turn, once it is there.
  std::optional<Result<grpc::ByteBuffer>> take();

  // Forgets all, and gives what the router still works on.
  std::vector<core::RequestId> abandon();

 private:
  struct Slot {
    grpc::ByteBuffer message;
    core::RequestId request = 0;
    std::optional<Result<grpc::ByteBuffer>> answer;
  };
  Slot* find(Number number);
  const Slot* find(Number number) const;
  void note_size(const grpc::ByteBuffer& buffer);

  const std::size_t messages_max_;
  std::deque<Slot> slots_;
  Number first_ = 0;  // that of slots_[0]
  // As large as the largest is taken for all that are to come. A guess, until one is answered.
  std::size_t largest_bytes_ = 0;
  bool answered_ = false;
};

}  // namespace sheaf::api
