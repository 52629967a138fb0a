#pragma once

#include <grpcpp/support/byte_buffer.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "api/stream_room.h"
#include "base/result.h"
#include "core/core.h"

namespace sheaf::api {

// The messages of one stream that are under way: numbered as they came, answered in any order,
// their answers taken in the order of the messages. Bounded, so that neither a client that sends
// and does not read nor answers that overtake a slow one can fill the memory: a message counts
// until its answer is taken, with its own size or that of its answer, whichever is larger. Not
// thread-safe.
class AnswerWindow {
 public:
  using Number = std::uint64_t;

  AnswerWindow(std::size_t messages_max, StreamRoom& room)
      : messages_max_(messages_max), room_(room) {}

  bool empty() const { return slots_.empty(); }
  // Is there room for one more? Always if it is empty, so that no stream waits for another; else a
  // stream may take as much as it leaves to the others. So those that stand still, their answers
  // not read, never take all.
  bool room() const;

  // `answer_bytes`: what the answer may have; 0: not known, taken for as large as the largest.
  Number open(const grpc::ByteBuffer& message, std::size_t answer_bytes = 0);
  // The rest may name messages whose answers have been taken: then they do nothing.
  const grpc::ByteBuffer* message(Number number) const;  // null then, and when answered
  void began(Number number, core::RequestId request);    // as the router knows it
  void answer(Number number, Result<grpc::ByteBuffer> answer);

  // The next answer in turn, once it is there.
  std::optional<Result<grpc::ByteBuffer>> take();

  // Forgets all, and gives what the router still works on. What is taken of the room is given back
  // by this, not by the destructor: a late answer may keep a window that outlives the room.
  std::vector<core::RequestId> abandon();

 private:
  struct Slot {
    grpc::ByteBuffer message;
    std::size_t answer_bytes = 0;  // as open() was told
    core::RequestId request = 0;
    std::optional<Result<grpc::ByteBuffer>> answer;
    std::size_t bytes = 0;  // that it counts for
  };
  Slot* find(Number number);
  const Slot* find(Number number) const;
  std::size_t usual_bytes() const;
  std::size_t bytes_of(const Slot& slot) const;
  void count(Slot& slot);
  void note_size(const grpc::ByteBuffer& buffer, bool is_answer);

  const std::size_t messages_max_;
  StreamRoom& room_;
  std::deque<Slot> slots_;
  Number first_ = 0;       // that of slots_[0]
  std::size_t bytes_ = 0;  // of all slots
  std::size_t largest_bytes_ = 0;
  bool answered_ = false;  // until then the size of answers is a guess
};

}  // namespace sheaf::api
