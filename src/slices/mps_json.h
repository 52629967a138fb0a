#pragma once

#include <nlohmann/json.hpp>

#include "slices/mps.h"

// MPS daemons as JSON, in their files and between helper and asker. nlohmann finds these by name.
namespace sheaf::slices {

void to_json(nlohmann::json& json, const MpsSettings& settings);
void from_json(const nlohmann::json& json, MpsSettings& settings);
void to_json(nlohmann::json& json, const MpsDaemon& daemon);
void from_json(const nlohmann::json& json, MpsDaemon& daemon);
void to_json(nlohmann::json& json, const MpsView& view);
void from_json(const nlohmann::json& json, MpsView& view);

}  // namespace sheaf::slices
