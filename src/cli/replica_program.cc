#include "cli/replica_program.h"

#include <fmt/core.h>
#include <unistd.h>

#include <filesystem>

namespace sheaf::cli {

bool is_program(const std::string& path) {
  std::error_code none;
  return std::filesystem::is_regular_file(path, none) && ::access(path.c_str(), X_OK) == 0;
}

Result<std::string> find_replica_program(const std::string& given) {
  std::string path = given;
  if (path.empty()) {
    std::error_code error;
    const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
    if (error) return Error{ErrorCode::io, "/proc/self/exe: " + error.message()};
    path = (self.parent_path() / "sheaf-replica").string();
  }
  if (!is_program(path))
    return Error{ErrorCode::not_found,
                 fmt::format("{} is not a program; --replica-program names sheaf-replica", path)};
  return path;
}

}  // namespace sheaf::cli
