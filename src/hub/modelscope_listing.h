#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sheaf::hub {

struct ListedFile {
  std::uint64_t bytes = 0;
  std::string sha256;  // 64 lower-case hexadecimal digits, or empty
};

// A repository's files by path; every path has passed is_safe_path().
using ModelScopeListing = std::map<std::string, ListedFile, std::less<>>;

// Reads the answer of ModelScope's GET …/repo/files: {"Data": {"Files": [{"Type", "Path", "Size",
// "Sha256"}…]}}. Folders and entries that are not understood are left out. `repo` is for the
// message.
Result<ModelScopeListing> parse_modelscope_listing(std::string_view body, std::string_view repo);

}  // namespace sheaf::hub
