#include "api/plan.h"

#include <fmt/core.h>

#include <utility>

#include "api/embed.h"

namespace sheaf::api {
namespace {

constexpr std::size_t kPlanBytesMax = 1u << 20;

Status check_plan(const Call& call) {
  if (!call.context.options.plan)
    return Error{ErrorCode::unsupported, "plans are not made by this server"};
  const std::size_t bytes = call.request.body.size();
  if (bytes <= kPlanBytesMax) return {};
  return Error{ErrorCode::too_large,
               fmt::format("the body has {} bytes; this route takes {}", bytes, kPlanBytesMax)};
}

}  // namespace

core::RequestId plan(const Call& call, Respond respond) {
  if (const Status right = check_plan(call); !right.ok())
    return refuse(call, Dialect::openai, right.error(), respond);
  call.context.options.plan(std::string(call.request.body),
                            [&context = call.context, id = std::string(call.request_id),
                             respond = std::move(respond)](Result<std::string> answer) {
                              HttpResponse response;
                              if (answer.ok()) {
                                response.body = std::move(*answer);
                                return respond(std::move(response));
                              }
                              note_refusal(context, id, answer.error());
                              respond(error_response(Dialect::openai, answer.error()));
                            });
  return 0;
}

}  // namespace sheaf::api
