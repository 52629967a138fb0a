#include "api/plan.h"

#include <fmt/core.h>

#include <utility>

#include "api/errors.h"

namespace sheaf::api {
namespace {

constexpr std::size_t kPlanBytesMax = 1u << 20;

}  // namespace

core::RequestId plan(const Call& call, Respond respond) {
  const auto refuse = [&respond](const Error& error) {
    respond(error_response(Dialect::openai, error));
    return core::RequestId{0};
  };
  if (!call.context.options.plan)
    return refuse({ErrorCode::unsupported, "plans are not made by this server"});
  if (call.request.body.size() > kPlanBytesMax)
    return refuse({ErrorCode::too_large, fmt::format("the body has {} bytes; this route takes {}",
                                                     call.request.body.size(), kPlanBytesMax)});
  call.context.options.plan(std::string(call.request.body),
                            [respond = std::move(respond)](Result<std::string> answer) {
                              if (!answer.ok())
                                return respond(error_response(Dialect::openai, answer.error()));
                              HttpResponse response;
                              response.body = std::move(*answer);
                              respond(std::move(response));
                            });
  return 0;
}

}  // namespace sheaf::api
