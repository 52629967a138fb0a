#include "api/status.h"

#include <utility>

#include "api/errors.h"
#include "api/page.h"

namespace sheaf::api {
namespace {

HttpResponse healthy() {
  HttpResponse response;
  response.content_type = "";
  return response;
}

}  // namespace

core::RequestId root(const Call& call, Respond respond) {
  if (call.request.header("accept").find("text/html") == std::string_view::npos) {
    return health(call, std::move(respond));
  }
  HttpResponse response;
  response.content_type = "text/html; charset=utf-8";
  response.body = status_page(call);
  respond(std::move(response));
  return 0;
}

core::RequestId health(const Call& call, Respond respond) {
  call.context.router.check_health([respond = std::move(respond)](Status status) {
    if (status.ok()) return respond(healthy());
    // Whatever the reason, to a prober this is one thing: do not send requests here.
    respond(error_response(Dialect::tei,
                           {ErrorCode::unavailable, "unhealthy: " + status.error().message}));
  });
  return 0;
}

core::RequestId health_live(const Call&, Respond respond) {
  respond(healthy());
  return 0;
}

core::RequestId health_ready(const Call& call, Respond respond) {
  if (call.context.router.ready()) {
    respond(healthy());
  } else {
    respond(error_response(Dialect::tei, {ErrorCode::unavailable,
                                          "not ready: a model has no ready replica, or the server "
                                          "is shutting down"}));
  }
  return 0;
}

core::RequestId metrics(const Call& call, Respond respond) {
  HttpResponse response;
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  response.body = call.context.metrics.render();
  respond(std::move(response));
  return 0;
}

}  // namespace sheaf::api
