#include "api/api.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <random>

#include "api/cors.h"
#include "api/embed.h"
#include "api/keys.h"
#include "api/url.h"
#include "router/request_log.h"

namespace sheaf::api {
namespace {

constexpr std::size_t kRequestIdCharsMax = 128;

// Unique in this process and, by its random start, very likely among others.
std::string new_request_id() {
  static const std::uint64_t start = [] {
    std::random_device device;
    return std::uint64_t(device()) << 32 | device();
  }();
  static std::atomic<std::uint64_t> count = 0;
  return fmt::format("req_{:016x}{:08x}", start, count.fetch_add(1, std::memory_order_relaxed));
}

// The client's own id if it is fit for a log line.
std::string request_id_of(const HttpRequest& head) {
  const std::string_view given = head.header("x-request-id");
  const bool fit =
      !given.empty() && given.size() <= kRequestIdCharsMax &&
      std::all_of(given.begin(), given.end(), [](char c) { return c > ' ' && c < 127; });
  return fit ? std::string(given) : new_request_id();
}

// Absent counts as JSON, since simple clients leave it out; forms and multipart do not.
bool takes_content_type(std::string_view content_type) {
  std::string_view type = content_type.substr(0, content_type.find(';'));
  while (type.ends_with(' ')) type.remove_suffix(1);
  return type.empty() || equal_ignoring_case(type, "application/json") ||
         equal_ignoring_case(type, "text/json") ||
         (type.size() > 5 && equal_ignoring_case(type.substr(type.size() - 5), "+json"));
}

}  // namespace

Api::Api(router::Router& router, telemetry::Metrics& metrics, ApiOptions options)
    : options_(std::move(options)), context_{router, metrics, options_} {}

Api::Begun Api::begin(const HttpRequest& head, std::optional<std::uint64_t> body_bytes) const {
  const Target target = split_target(head.target);
  RouteMatch match = match_route(head.method, target.path);
  Begun begun;
  begun.ticket = {match.route,
                  match.dialect,
                  std::move(match.rest),
                  request_id_of(head),
                  cors_origin(options_, head),
                  0};
  if (match.route == nullptr && match.allow.empty()) {
    begun.answer = refuse(begun.ticket,
                          {ErrorCode::not_found, fmt::format("there is no route {}", target.path)});
  } else if (head.method == "OPTIONS") {
    begun.answer = preflight_response(head, begun.ticket.cors_origin, match.allow);
    finish(begun.ticket, *begun.answer);
  } else if (match.route == nullptr) {
    begun.answer = refuse(
        begun.ticket, {ErrorCode::method_not_allowed,
                       fmt::format("{} takes {}, not {}", target.path, match.allow, head.method)});
    begun.answer->add_header("Allow", match.allow + ", OPTIONS");
  } else {
    begun.answer = refuse_at_door(begun.ticket, head, target.query, body_bytes);
  }
  return begun;
}

std::optional<HttpResponse> Api::refuse_at_door(Ticket& ticket, const HttpRequest& head,
                                                std::string_view query,
                                                std::optional<std::uint64_t> body_bytes) const {
  const Route& route = *ticket.route;
  const auto tenant = tenant_of(options_.api_keys, head.header("authorization"));
  ticket.tenant = tenant.value_or(0);
  if (route.right == Right::key && !tenant) {
    const bool missing = head.header("authorization").empty();
    return refuse(ticket, {ErrorCode::unauthenticated,
                           missing ? "an API key is needed: send \"Authorization: Bearer KEY\""
                                   : "the API key is not one of this server's"});
  }
  if (route.method == "POST" && !takes_content_type(head.header("content-type"))) {
    return refuse(ticket, {ErrorCode::unsupported_media,
                           fmt::format("content type \"{}\" is not taken; application/json is",
                                       head.header("content-type"))});
  }
  if (!route.runs_model) return std::nullopt;
  // The body may name a model of its own, so with several models only the query can tell early;
  // Router::embed() asks again when all is known.
  const std::string model = query_value(query, "model").value_or("");
  if (model.empty() && context_.router.models().size() > 1) return std::nullopt;
  Status admitted = context_.router.admit(model, body_bytes.value_or(0));
  if (admitted.ok()) return std::nullopt;
  count_refusal(context_, admitted.error());
  return refuse(ticket, admitted.error());
}

core::RequestId Api::run(const Ticket& ticket, const HttpRequest& request, Respond respond) const {
  const Target target = split_target(request.target);
  const Call call{context_, request, target.query, ticket.rest, ticket.request_id, ticket.tenant};
  return ticket.route->handler(call,
                               [this, ticket, respond = std::move(respond)](HttpResponse response) {
                                 finish(ticket, response);
                                 respond(std::move(response));
                               });
}

HttpResponse Api::refuse(Ticket ticket, const Error& error, int status) const {
  if (ticket.request_id.empty()) ticket.request_id = new_request_id();
  HttpResponse response = error_response(ticket.dialect, error, status);
  router::log_refusal(ticket.request_id, error);
  finish(ticket, response);
  return response;
}

void Api::finish(const Ticket& ticket, HttpResponse& response) const {
  response.add_header("x-request-id", ticket.request_id);
  add_cors_headers(response, ticket.cors_origin);
}

}  // namespace sheaf::api
