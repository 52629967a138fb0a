#include "hub/modelscope_listing.h"

#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "hub/names.h"

namespace sheaf::hub {
namespace {

using Json = nlohmann::json;

// The member, or null where there is none or `object` is no object.
const Json& member(const Json& object, const char* name) {
  static const Json null;
  if (!object.is_object()) return null;
  const auto found = object.find(name);
  return found == object.end() ? null : *found;
}

std::string text(const Json& value) { return value.is_string() ? value.get<std::string>() : ""; }

}  // namespace

Result<ModelScopeListing> parse_modelscope_listing(std::string_view body, std::string_view repo) {
  const Json json = Json::parse(body, nullptr, false);
  const Json& files = member(member(json, "Data"), "Files");
  if (!files.is_array())
    return Error{ErrorCode::corrupt,
                 fmt::format("ModelScope's list of the files of {} has no Data.Files", repo)};
  ModelScopeListing listing;
  for (const Json& entry : files) {
    const std::string path = text(member(entry, "Path"));
    const Json& size = member(entry, "Size");
    if (text(member(entry, "Type")) == "tree" || !is_safe_path(path) || !size.is_number_unsigned())
      continue;
    ListedFile& file = listing[path];
    file.bytes = size.get<std::uint64_t>();
    if (std::string sha256 = text(member(entry, "Sha256")); is_lower_hex(sha256, 64))
      file.sha256 = std::move(sha256);
  }
  return listing;
}

}  // namespace sheaf::hub
