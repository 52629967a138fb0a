#include "api/fleet.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "api/json_out.h"
#include "base/process_memory.h"
#include "base/text.h"
#include "slices/sample_json.h"

namespace sheaf::api {
namespace {

void append_field(std::string& out, std::string_view name, std::string_view text) {
  out.append("\"").append(name).append("\":");
  append_json_quoted(out, text);
}

// Memory is read here and not by the router, whose mutex requests need.
void append_processes(std::string& out, const std::vector<int>& pids) {
  out.append(",\"processes\":[");
  bool first = true;
  for (const int pid : pids) {
    const auto memory = resident_bytes(pid);
    fmt::format_to(std::back_inserter(out), "{}{{\"pid\":{},\"memory_bytes\":{}}}",
                   std::exchange(first, false) ? "" : ",", pid,
                   memory ? std::to_string(*memory) : "null");
  }
  out.push_back(']');
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
  fmt::format_to(std::back_inserter(out), ",\"ranks\":{},\"streams\":{},\"pid\":{}", replica.ranks,
                 replica.streams, replica.pids.empty() ? 0 : replica.pids.front());
  append_processes(out, replica.pids);
  fmt::format_to(std::back_inserter(out),
                 ",\"incarnation\":{},\"restarts\":{},\"batches_in_flight\":{},"
                 "\"tokens_in_flight\":{},\"batches\":{},\"tokens\":{},\"busy_us\":{},"
                 "\"tokens_per_s\":",
                 s.incarnation, s.restarts, s.batches_in_flight, s.tokens_in_flight, s.batches,
                 s.tokens, s.busy_us);
  append_number(out, s.tokens_per_s);
  out.append(",\"last_death\":");
  s.last_death.empty() ? void(out.append("null")) : append_json_quoted(out, s.last_death);
  out.push_back('}');
}

void append_replicas(std::string& out, const Context& context) {
  bool first = true;
  for (const router::ReplicaView& replica : context.router.replicas()) {
    if (!std::exchange(first, false)) out.push_back(',');
    append_replica(out, replica);
  }
}

void append_models(std::string& out, const Context& context) {
  bool first = true;
  for (const telemetry::ModelReading& model : context.metrics.readings().models) {
    out.append(std::exchange(first, false) ? "{" : ",{");
    append_field(out, "name", model.model);
    fmt::format_to(std::back_inserter(out),
                   ",\"queue_items\":{},\"queue_tokens\":{},\"queue_tokens_max\":{}}}",
                   model.queue_items, model.queue_tokens, model.queue_tokens_max);
  }
}

// Names of programs are whatever their owners like: what is no UTF-8 is replaced.
void append_slices(std::string& out, const Context& context) {
  auto list = nlohmann::ordered_json::array();
  for (const slices::SliceSample& sample : context.metrics.gpu_readings().samples)
    list.push_back(facts_of(sample));
  out.append(list.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

}  // namespace

core::RequestId fleet(const Call& call, Respond respond) {
  HttpResponse response;
  std::string& out = response.body;
  out = call.context.router.ready() ? "{\"ready\":true," : "{\"ready\":false,";
  fmt::format_to(std::back_inserter(out), "\"open_requests\":{},\"replicas\":[",
                 call.context.router.open_requests());
  append_replicas(out, call.context);
  out.append("],\"models\":[");
  append_models(out, call.context);
  out.append("],\"slices\":");
  append_slices(out, call.context);
  fmt::format_to(std::back_inserter(out), ",\"time_us\":{}}}", monotonic_us());
  respond(std::move(response));
  return 0;
}

}  // namespace sheaf::api
