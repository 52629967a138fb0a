#include "api/leases.h"

#include <fmt/format.h>

#include <string_view>
#include <utility>

#include "api/embed.h"
#include "api/json_in.h"
#include "slices/lease_clerk.h"
#include "slices/lease_json.h"

namespace sheaf::api {
namespace {

using slices::Lease;
using slices::LeaseRequest;
using LeaseVerb = LeaseRequest::Verb;

constexpr double kSecondsMax = 1e6;  // what is more is too much for any lease
constexpr std::uint64_t kCoresMax = 65536;

Result<std::int64_t> read_seconds(std::string_view field, JsonValue value) {
  double seconds = 0;
  if (value.get(seconds) != simdjson::SUCCESS || seconds < 0 || seconds > kSecondsMax)
    return wrong(field,
                 fmt::format("{} is a number of seconds, from 0 to {:.0f}", field, kSecondsMax));
  return static_cast<std::int64_t>(seconds * 1000);
}

Result<std::string> read_word(std::string_view field, JsonValue value) {
  SHEAF_ASSIGN(const std::string_view text, read_text(field, value));
  return std::string(text);
}

Status read_need(std::string_view key, JsonValue value, slices::LeaseNeed& need, bool& known) {
  known = true;
  if (key == "slice") {
    SHEAF_ASSIGN(need.slice, read_word(key, value));
  } else if (key == "kind") {
    SHEAF_ASSIGN(need.kind, read_word(key, value));
  } else if (key == "profile") {
    SHEAF_ASSIGN(need.profile, read_word(key, value));
  } else if (key == "memory_bytes") {
    SHEAF_ASSIGN(need.memory_bytes, read_count(key, value));
  } else if (key == "cores") {
    SHEAF_ASSIGN(const std::uint64_t cores, read_count(key, value));
    if (cores > kCoresMax) return wrong(key, fmt::format("no machine has {} cores", cores));
    need.cores = static_cast<unsigned>(cores);
  } else if (key == "shared") {
    SHEAF_ASSIGN(need.shared, read_bool(key, value));
  } else {
    known = false;
  }
  return {};
}

Status read_acquire_field(std::string_view key, JsonValue value, LeaseRequest& request) {
  bool known = false;
  SHEAF_TRY(read_need(key, value, request.need, known));
  if (known) return {};
  if (key == "task_id") {
    SHEAF_ASSIGN(request.task_id, read_word(key, value));
  } else if (key == "ttl_s") {
    SHEAF_ASSIGN(request.ttl_ms, read_seconds(key, value));
  } else if (key == "wait_s") {
    SHEAF_ASSIGN(request.wait_ms, read_seconds(key, value));
  } else if (key == "drain") {
    SHEAF_ASSIGN(request.drain, read_bool(key, value));
  } else {
    return wrong(key, fmt::format("there is no field {}; there are slice, kind, profile, "
                                  "memory_bytes, cores, shared, task_id, ttl_s, wait_s, drain",
                                  key));
  }
  return {};
}

// Who asks, apart from other keys of this server and from those who use its machine without it.
LeaseRequest begin_request(const Call& call, LeaseVerb verb) {
  LeaseRequest request{.verb = verb};
  request.tenant = call.tenant == 0 ? "http" : fmt::format("key {}", call.tenant);
  return request;
}

Result<LeaseRequest> read_acquire(const Call& call) {
  SHEAF_ASSIGN(const simdjson::dom::object fields, parse_json_object(call.request.body));
  LeaseRequest request = begin_request(call, LeaseVerb::acquire);
  for (const auto& [key, value] : fields)
    if (!value.is_null()) SHEAF_TRY(read_acquire_field(key, value, request));
  return request;
}

Result<LeaseRequest> read_renew(const Call& call) {
  constexpr std::string_view kEnd = "/renew";
  LeaseRequest request = begin_request(call, LeaseVerb::renew);
  std::string_view rest = call.rest;
  if (!rest.ends_with(kEnd) || rest.size() == kEnd.size())
    return Error{ErrorCode::not_found,
                 fmt::format("POST /v1/slices/lease/{} is no route; …/ID/renew is", rest)};
  rest.remove_suffix(kEnd.size());
  request.lease = rest;
  if (call.request.body.empty()) return request;
  SHEAF_ASSIGN(const simdjson::dom::object fields, parse_json_object(call.request.body));
  for (const auto& [key, value] : fields) {
    if (value.is_null()) continue;
    if (key != "ttl_s") return wrong(key, fmt::format("there is no field {}; there is ttl_s", key));
    SHEAF_ASSIGN(request.ttl_ms, read_seconds(key, value));
  }
  return request;
}

HttpResponse json_response(const nlohmann::ordered_json& json) {
  HttpResponse response;
  response.body = json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  return response;
}

// What answers a result of the clerk: the call is over by then.
template <class Value, class Write>
auto answering(const Call& call, Respond respond, Write write) {
  return [&context = call.context, id = std::string(call.request_id), respond = std::move(respond),
          write](Result<Value> result) {
    if (result.ok()) return respond(json_response(write(*result)));
    note_refusal(context, id, result.error());
    respond(error_response(Dialect::openai, result.error()));
  };
}

core::RequestId ask_clerk(const Call& call, Result<LeaseRequest> request, Respond respond) {
  slices::LeaseClerk* clerk = call.context.options.leases;
  if (request.ok() && clerk == nullptr)
    request = Error{ErrorCode::unsupported, "this server gives no leases"};
  if (!request.ok()) return refuse(call, Dialect::openai, request.error(), respond);
  clerk->ask(std::move(*request),
             answering<Lease>(call, std::move(respond),
                              [](const Lease& lease) { return slices::facts_of(lease); }));
  return 0;
}

}  // namespace

core::RequestId acquire_lease(const Call& call, Respond respond) {
  return ask_clerk(call, read_acquire(call), std::move(respond));
}

core::RequestId renew_lease(const Call& call, Respond respond) {
  return ask_clerk(call, read_renew(call), std::move(respond));
}

core::RequestId release_lease(const Call& call, Respond respond) {
  LeaseRequest request = begin_request(call, LeaseVerb::release);
  request.lease = call.rest;
  return ask_clerk(call, std::move(request), std::move(respond));
}

core::RequestId list_leases(const Call& call, Respond respond) {
  slices::LeaseClerk* clerk = call.context.options.leases;
  if (clerk == nullptr)
    return refuse(call, Dialect::openai, {ErrorCode::unsupported, "this server gives no leases"},
                  respond);
  clerk->list(
      answering<std::vector<Lease>>(call, std::move(respond), [](const std::vector<Lease>& leases) {
        auto list = nlohmann::ordered_json::array();
        for (const Lease& lease : leases) list.push_back(slices::facts_of(lease));
        return nlohmann::ordered_json{{"object", "list"}, {"data", list}};
      }));
  return 0;
}

}  // namespace sheaf::api
