#include "api/status.h"

#include <fmt/format.h>

#include <utility>

#include "api/errors.h"
#include "api/json_out.h"
#include "api/page.h"
#include "base/text.h"

namespace sheaf::api {
namespace {

HttpResponse healthy() {
  HttpResponse response;
  response.content_type = "";
  return response;
}

void append_field(std::string& out, std::string_view name, std::string_view text) {
  out.append("\"").append(name).append("\":");
  append_json_quoted(out, text);
}

void append_replica(std::string& out, const router::ReplicaView& replica) {
  const core::ReplicaStatus& s = replica.status;
  out.push_back('{');
  append_field(out, "name", replica.name);
  out.push_back(',');
  append_field(out, "slice", replica.slice);
  out.push_back(',');
  append_field(out, "model", replica.model);
  out.push_back(',');
  append_field(out, "state", name_of(s.state));
  fmt::format_to(std::back_inserter(out),
                 ",\"pid\":{},\"incarnation\":{},\"restarts\":{},\"batches_in_flight\":{},"
                 "\"tokens_in_flight\":{},\"batches\":{},\"tokens\":{},\"busy_us\":{},"
                 "\"tokens_per_s\":",
                 replica.pid, s.incarnation, s.restarts, s.batches_in_flight, s.tokens_in_flight,
                 s.batches, s.tokens, s.busy_us);
  append_number(out, s.tokens_per_s);
  out.append(",\"last_death\":");
  s.last_death.empty() ? void(out.append("null")) : append_json_quoted(out, s.last_death);
  out.push_back('}');
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

core::RequestId fleet(const Call& call, Respond respond) {
  HttpResponse response;
  std::string& out = response.body;
  out = call.context.router.ready() ? "{\"ready\":true," : "{\"ready\":false,";
  fmt::format_to(std::back_inserter(out), "\"open_requests\":{},\"replicas\":[",
                 call.context.router.open_requests());
  bool first = true;
  for (const router::ReplicaView& replica : call.context.router.replicas()) {
    if (!std::exchange(first, false)) out.push_back(',');
    append_replica(out, replica);
  }
  out.append("]}");
  respond(std::move(response));
  return 0;
}

}  // namespace sheaf::api
