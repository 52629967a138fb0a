#include "slices/lease_json.h"

#include <algorithm>

namespace sheaf::slices {

void to_json(nlohmann::json& json, const ProcessIdentity& process) {
  json = {{"pid", process.pid}, {"started", process.started}};
}
void from_json(const nlohmann::json& json, ProcessIdentity& process) {
  json.at("pid").get_to(process.pid);
  json.at("started").get_to(process.started);
}

void to_json(nlohmann::json& json, const LeaseOwner& owner) {
  json = {{"user", owner.user}, {"tenant", owner.tenant}};
}
void from_json(const nlohmann::json& json, LeaseOwner& owner) {
  json.at("user").get_to(owner.user);
  json.at("tenant").get_to(owner.tenant);
}

void to_json(nlohmann::json& json, const LeaseNeed& need) {
  json = {{"slice", need.slice},
          {"kind", need.kind},
          {"profile", need.profile},
          {"memory_bytes", need.memory_bytes},
          {"cores", need.cores}};
}
void from_json(const nlohmann::json& json, LeaseNeed& need) {
  json.at("slice").get_to(need.slice);
  json.at("kind").get_to(need.kind);
  json.at("profile").get_to(need.profile);
  json.at("memory_bytes").get_to(need.memory_bytes);
  json.at("cores").get_to(need.cores);
}

void to_json(nlohmann::json& json, const LeasedSlice& slice) {
  json = {{"kind", slice.kind},         {"id", slice.id},
          {"text", slice.text},         {"cpus", slice.cpus},
          {"gpu_uuid", slice.gpu_uuid}, {"memory_bytes", slice.memory_bytes}};
}
void from_json(const nlohmann::json& json, LeasedSlice& slice) {
  json.at("kind").get_to(slice.kind);
  json.at("id").get_to(slice.id);
  json.at("text").get_to(slice.text);
  json.at("cpus").get_to(slice.cpus);
  json.at("gpu_uuid").get_to(slice.gpu_uuid);
  json.at("memory_bytes").get_to(slice.memory_bytes);
}

void to_json(nlohmann::json& json, const Lease& lease) {
  json = {{"id", lease.id},         {"task_id", lease.task_id}, {"need", lease.need},
          {"slice", lease.slice},   {"owner", lease.owner},     {"holder", lease.holder},
          {"ttl_ms", lease.ttl_ms}, {"ends_ms", lease.ends_ms}};
}
void from_json(const nlohmann::json& json, Lease& lease) {
  json.at("id").get_to(lease.id);
  json.at("task_id").get_to(lease.task_id);
  json.at("need").get_to(lease.need);
  json.at("slice").get_to(lease.slice);
  json.at("owner").get_to(lease.owner);
  json.at("holder").get_to(lease.holder);
  json.at("ttl_ms").get_to(lease.ttl_ms);
  json.at("ends_ms").get_to(lease.ends_ms);
}

void to_json(nlohmann::json& json, const LeaseTicket& ticket) {
  json = {{"id", ticket.id},
          {"need", ticket.need},
          {"owner", ticket.owner},
          {"waiter", ticket.waiter},
          {"ends_ms", ticket.ends_ms}};
}
void from_json(const nlohmann::json& json, LeaseTicket& ticket) {
  json.at("id").get_to(ticket.id);
  json.at("need").get_to(ticket.need);
  json.at("owner").get_to(ticket.owner);
  json.at("waiter").get_to(ticket.waiter);
  json.at("ends_ms").get_to(ticket.ends_ms);
}

nlohmann::ordered_json facts_of(const Lease& lease) {
  auto environment = nlohmann::ordered_json::object();
  for (const std::string& entry : environment_of(lease)) {
    const std::size_t equals = entry.find('=');
    environment[entry.substr(0, equals)] = entry.substr(equals + 1);
  }
  const std::int64_t left_ms = std::max<std::int64_t>(lease.ends_ms - boot_ms(), 0);
  return {{"id", lease.id},
          {"task_id", lease.task_id},
          {"need", describe(lease.need)},
          {"kind", lease.slice.kind},
          {"slice", lease.slice.id},
          {"text", lease.slice.text},
          {"cpus", lease.slice.cpus},
          {"memory_bytes", lease.slice.memory_bytes},
          {"user", lease.owner.user},
          {"tenant", lease.owner.tenant},
          {"holder_pid", lease.holder.pid},
          {"ttl_s", static_cast<double>(lease.ttl_ms) / 1000},
          {"ends_in_s", static_cast<double>(left_ms) / 1000},
          {"environment", environment}};
}

}  // namespace sheaf::slices
