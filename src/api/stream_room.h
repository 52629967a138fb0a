#pragma once

#include <atomic>
#include <cstddef>

#include "core/core.h"

namespace sheaf::api {

// What the streams of a server share: the memory that their messages and answers may take together,
// and numbers to tell them apart. Thread-safe.
class StreamRoom {
 public:
  explicit StreamRoom(std::size_t bytes_max) : bytes_max_(bytes_max) {}

  core::StreamId next_number() { return next_number_.fetch_add(1, std::memory_order_relaxed); }

  void take(std::size_t bytes) { taken_.fetch_add(bytes, std::memory_order_relaxed); }
  void give_back(std::size_t bytes) { taken_.fetch_sub(bytes, std::memory_order_relaxed); }
  // 0 if more is taken than there is: every stream may always have one message (AnswerWindow).
  std::size_t left() const {
    const std::size_t taken = taken_.load(std::memory_order_relaxed);
    return taken < bytes_max_ ? bytes_max_ - taken : 0;
  }

 private:
  const std::size_t bytes_max_;
  std::atomic<std::size_t> taken_ = 0;
  std::atomic<core::StreamId> next_number_ = 1;
};

}  // namespace sheaf::api
