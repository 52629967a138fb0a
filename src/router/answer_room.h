#pragma once

#include <cstdint>

#include "base/result.h"
#include "router/open_request.h"

namespace sheaf::router {

// How much the answers of varying size may hold, one request's and all open ones' together. Not
// thread-safe.
class AnswerRoom {
 public:
  // In floats.
  AnswerRoom(std::uint64_t request_max, std::uint64_t open_max)
      : request_max_(request_max), open_max_(open_max) {}

  // Counts floats that the answer has or will have; too_large or overloaded, and counted nothing,
  // if there is no room for them.
  Status take(OpenRequest& open, std::uint64_t floats);
  // All that the request took; to be called once, when its answer is gone.
  void give_back(const OpenRequest& open) { taken_ -= open.answer_floats; }

 private:
  const std::uint64_t request_max_;
  const std::uint64_t open_max_;
  std::uint64_t taken_ = 0;
};

}  // namespace sheaf::router
