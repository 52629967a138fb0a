#pragma once

#include <nlohmann/json.hpp>

#include "slices/lease.h"
#include "slices/lease_table.h"

// Leases as JSON, in the table's file and between helper and asker. nlohmann finds these by name;
// what is missing or of another type throws its exceptions.
namespace sheaf::slices {

void to_json(nlohmann::json& json, const ProcessIdentity& process);
void from_json(const nlohmann::json& json, ProcessIdentity& process);
void to_json(nlohmann::json& json, const LeaseNeed& need);
void from_json(const nlohmann::json& json, LeaseNeed& need);
void to_json(nlohmann::json& json, const Lease& lease);
void from_json(const nlohmann::json& json, Lease& lease);
void to_json(nlohmann::json& json, const LeaseTicket& ticket);
void from_json(const nlohmann::json& json, LeaseTicket& ticket);

// What commands and HTTP tell of a lease.
nlohmann::ordered_json facts_of(const Lease& lease);

}  // namespace sheaf::slices
