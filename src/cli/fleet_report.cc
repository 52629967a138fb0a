#include "cli/fleet_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "slices/sample_json.h"

namespace sheaf::cli {
namespace {

using nlohmann::json;

constexpr std::uint64_t kCountMax = std::uint64_t{1} << 62;

Error strange_fleet(std::string_view what) {
  return Error{ErrorCode::corrupt, fmt::format("the server's /v1/fleet {}", what)};
}

std::string text_in(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

std::uint64_t count_in(const json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_number_unsigned()) return 0;
  return std::min(found->get<std::uint64_t>(), kCountMax);
}

std::vector<ProcessReport> processes_of(const json& replica) {
  std::vector<ProcessReport> processes;
  const auto list = replica.find("processes");
  if (list == replica.end() || !list->is_array()) return processes;
  for (const json& entry : *list) {
    if (!entry.is_object()) continue;
    ProcessReport process;
    process.pid = static_cast<int>(std::min<std::uint64_t>(count_in(entry, "pid"), INT32_MAX));
    if (const std::uint64_t bytes = count_in(entry, "memory_bytes"); bytes > 0)
      process.memory_bytes = bytes;
    processes.push_back(process);
  }
  return processes;
}

ReplicaReport replica_of(const json& facts) {
  return {.name = text_in(facts, "name"),
          .slice = text_in(facts, "slice"),
          .model = text_in(facts, "model"),
          .state = text_in(facts, "state"),
          .processes = processes_of(facts),
          .restarts = count_in(facts, "restarts"),
          .tokens_in_flight = count_in(facts, "tokens_in_flight"),
          .tokens = count_in(facts, "tokens"),
          .busy_us = static_cast<TimeUs>(count_in(facts, "busy_us"))};
}

// Hands each object of the list to `take`; no list is an empty one.
template <class Take>
Status for_each_in(const json& facts, const char* name, Take take) {
  const auto list = facts.find(name);
  if (list == facts.end()) return {};
  if (!list->is_array()) return strange_fleet(fmt::format("has no list of {}", name));
  for (const json& entry : *list) {
    if (!entry.is_object()) return strange_fleet(fmt::format("lists something else as {}", name));
    SHEAF_TRY(take(entry));
  }
  return {};
}

// Counters of a replica start anew with its server.
double growth(double before, double after) { return std::max(0.0, after - before); }

}  // namespace

Result<FleetReport> parse_fleet_report(std::string_view text) {
  const json facts = json::parse(text, nullptr, false);
  if (!facts.is_object() || !facts.contains("replicas"))
    return strange_fleet("is not as it should be; is this a sheaf server?");
  FleetReport report{.ready = facts.value("ready", json()) == json(true),
                     .open_requests = count_in(facts, "open_requests"),
                     .time_us = static_cast<TimeUs>(count_in(facts, "time_us"))};
  SHEAF_TRY(for_each_in(facts, "replicas", [&](const json& entry) {
    report.replicas.push_back(replica_of(entry));
    return Status();
  }));
  SHEAF_TRY(for_each_in(facts, "models", [&](const json& entry) {
    report.models.push_back(
        {text_in(entry, "name"), count_in(entry, "queue_items"), count_in(entry, "queue_tokens")});
    return Status();
  }));
  SHEAF_TRY(for_each_in(facts, "slices", [&](const json& entry) -> Status {
    SHEAF_ASSIGN(slices::SliceSample sample, slices::sample_of(entry));
    report.slices.push_back(std::move(sample));
    return {};
  }));
  return report;
}

std::optional<ReplicaRate> rate_of(const FleetReport& before, const FleetReport& after,
                                   const ReplicaReport& replica) {
  const auto then = std::ranges::find_if(before.replicas, [&](const ReplicaReport& one) {
    return one.name == replica.name && one.model == replica.model;
  });
  const auto span_us = static_cast<double>(after.time_us - before.time_us);
  if (then == before.replicas.end() || span_us <= 0) return std::nullopt;
  const double tokens =
      growth(static_cast<double>(then->tokens), static_cast<double>(replica.tokens));
  const double busy_us =
      growth(static_cast<double>(then->busy_us), static_cast<double>(replica.busy_us));
  return ReplicaRate{tokens / span_us * double{kSecond}, std::min(1.0, busy_us / span_us)};
}

}  // namespace sheaf::cli
