#include "model/spec/shard_index.h"

#include <fmt/core.h>

#include "model/spec/json_file.h"

namespace sheaf::model {
namespace {

bool is_shard_name(const std::string& name) {
  constexpr std::string_view kForbidden("/\\\0", 3);
  return name.find('.') != 0 && name.ends_with(".safetensors") &&
         name.find_first_of(kForbidden) == std::string::npos;
}

}  // namespace

Result<std::map<std::string, std::string>> parse_shard_index(std::string_view text,
                                                             const std::string& path) {
  SHEAF_ASSIGN(const nlohmann::json root, parse_json(text, path, 4));
  SHEAF_ASSIGN(const JsonObject index, JsonObject::of(root, path));
  SHEAF_ASSIGN(const JsonObject map, index.object("weight_map"));
  std::map<std::string, std::string> shards;
  for (const auto& [tensor, unused] : root["weight_map"].items()) {
    SHEAF_ASSIGN(const std::string shard, map.text(tensor));
    if (!is_shard_name(shard))
      return map.error(tensor, "is '" + shard + "', not the name of a safetensors file beside it");
    shards.emplace(tensor, shard);
  }
  if (shards.empty()) return index.error("weight_map", "is empty");
  return shards;
}

}  // namespace sheaf::model
