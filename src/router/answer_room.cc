#include "router/answer_room.h"

#include <fmt/core.h>

namespace sheaf::router {
namespace {

std::uint64_t mib(std::uint64_t floats) { return (floats * sizeof(float) + 524'288) >> 20; }

}  // namespace

Status AnswerRoom::take(OpenRequest& open, std::uint64_t floats) {
  if (open.answer_floats + floats > request_max_)
    return Error{
        ErrorCode::too_large,
        fmt::format("{} texts of {} tokens need {} MiB of numbers or more for an answer; "
                    "a request may be answered with {} MiB: send fewer or shorter texts at a time",
                    open.inputs.size(), open.inputs.ids.size(), mib(open.answer_floats + floats),
                    mib(request_max_)),
        "input"};
  if (taken_ + floats > open_max_)
    return Error{ErrorCode::overloaded,
                 fmt::format("answers of {} MiB are being made already; {} MiB is the limit",
                             mib(taken_), mib(open_max_)),
                 "", 1};
  open.answer_floats += floats;
  taken_ += floats;
  return {};
}

}  // namespace sheaf::router
