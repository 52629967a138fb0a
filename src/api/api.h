#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "api/context.h"
#include "api/errors.h"
#include "api/routes.h"

namespace sheaf::api {

// The whole HTTP surface behind any listener. Thread-safe. The listener calls begin() when it has a
// request's header, then reads the body and calls run(); whatever it refuses itself it words by
// refuse(), so that every answer has the same headers and the dialect of its route.
class Api {
 public:
  Api(router::Router& router, telemetry::Metrics& metrics, ApiOptions options);

  // What is known of a request once its header is read.
  struct Ticket {
    const Route* route = nullptr;  // null: the request has no route, refuse() alone may use this
    Dialect dialect = Dialect::openai;
    std::string rest;  // of the path, for prefix routes
    std::string request_id;
    std::string cors_origin;
    core::TenantId tenant = 0;
  };
  struct Begun {
    Ticket ticket;
    std::optional<HttpResponse> answer;  // set: answer this, the body is not wanted
  };
  // Checks route, method, key, content type and admission. `body_bytes`: Content-Length, if known.
  Begun begin(const HttpRequest& head, std::optional<std::uint64_t> body_bytes) const;

  // Answers through `respond`, before or after returning, on any thread. Returns what cancel()
  // takes, 0 if there is nothing to cancel.
  core::RequestId run(const Ticket& ticket, const HttpRequest& request, Respond respond) const;

  // An error in the ticket's dialect; `status` overrides the table's. A ticket without an id (what
  // came is no request, or one connection too many) gets one here.
  HttpResponse refuse(Ticket ticket, const Error& error, int status = 0) const;

  // The client went away; `respond` will not be called unless the call is already under way.
  void cancel(core::RequestId request) const { context_.router.cancel(request); }

  const Context& context() const { return context_; }  // for the gRPC dialects

 private:
  std::optional<HttpResponse> refuse_at_door(Ticket& ticket, const HttpRequest& head,
                                             std::string_view query,
                                             std::optional<std::uint64_t> body_bytes) const;
  void finish(const Ticket& ticket, HttpResponse& response) const;

  const ApiOptions options_;
  const Context context_;
};

}  // namespace sheaf::api
