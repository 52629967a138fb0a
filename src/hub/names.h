#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace sheaf::hub {

// "org/name" split. Characters as the hub allows them: letters, digits, '-', '_', '.'; neither part
// empty, starting with a dot, nor holding "..".
struct RepoName {
  std::string owner;
  std::string name;

  std::string full() const { return owner + "/" + name; }
};
Result<RepoName> parse_repo_name(std::string_view text);

// True if `path` names something inside a folder whatever the folder is: relative, '/'-separated,
// no empty, "." or ".." part, no NUL, no backslash, no control character. Every path that a server
// sends passes here before it touches the disk.
bool is_safe_path(std::string_view path);
// As above, and a single part: what may become one file's name (an ETag, for instance).
bool is_safe_file_name(std::string_view name);

// 40 lower-case hexadecimal digits: a git commit, which never changes its content.
bool is_commit(std::string_view revision);
bool is_lower_hex(std::string_view text, std::size_t length);

// Percent-encoding of one URL part; '/' is kept only by quote_path.
std::string quote(std::string_view part);
std::string quote_path(std::string_view path);

// "/" removed from the end.
std::string without_trailing_slash(std::string text);

}  // namespace sheaf::hub
