#include "hub/names.h"

#include <fmt/core.h>

#include <algorithm>

namespace sheaf::hub {
namespace {

constexpr std::size_t kMaxFileNameBytes =
    200;  // NAME_MAX 255 less room for ".incomplete" and the like

bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool is_repo_name_part(std::string_view part) {
  return !part.empty() && part.size() <= 96 && part.front() != '.' &&
         part.find("..") == std::string_view::npos &&
         std::all_of(part.begin(), part.end(), [](char c) {
           return is_letter_or_digit(c) || c == '-' || c == '_' || c == '.';
         });
}

std::string quote_except(std::string_view text, std::string_view kept) {
  std::string out;
  for (const char c : text) {
    if (is_letter_or_digit(c) || kept.find(c) != std::string_view::npos)
      out += c;
    else
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

}  // namespace

Result<RepoName> parse_repo_name(std::string_view text) {
  const auto slash = text.find('/');
  if (slash != std::string_view::npos) {
    const auto owner = text.substr(0, slash);
    const auto name = text.substr(slash + 1);
    if (is_repo_name_part(owner) && is_repo_name_part(name))
      return RepoName{std::string(owner), std::string(name)};
  }
  return Error{
      ErrorCode::invalid_argument,
      fmt::format("'{}' is neither a folder that exists nor a model name of the form org/name",
                  text)};
}

bool is_safe_file_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxFileNameBytes && name != "." && name != ".." &&
         std::none_of(name.begin(), name.end(), [](char c) {
           return c == '/' || c == '\\' || static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
         });
}

bool is_safe_path(std::string_view path) {
  for (;;) {
    const auto slash = path.find('/');
    if (!is_safe_file_name(path.substr(0, slash))) return false;
    if (slash == std::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
}

bool is_lower_hex(std::string_view text, std::size_t length) {
  return text.size() == length && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

bool is_commit(std::string_view revision) { return is_lower_hex(revision, 40); }

std::string quote(std::string_view part) { return quote_except(part, "-_.~"); }
std::string quote_path(std::string_view path) { return quote_except(path, "-_.~/"); }

std::string without_trailing_slash(std::string text) {
  while (!text.empty() && text.back() == '/') text.pop_back();
  return text;
}

}  // namespace sheaf::hub
