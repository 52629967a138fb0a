#include "hub/hf_cache.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

namespace sheaf::hub {
namespace fs = std::filesystem;
namespace {

constexpr const char* kCachedirTag =
    "Signature: 8a477f597d28d172789f06886806bc55\n"
    "# This folder is a cache; backups may leave it out. See https://bford.info/cachedir/\n";

Status make_folder(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) return errno_error(path.string(), error.value());
  return {};
}

// A name beside `path` that no other process uses.
std::string temporary_beside(const std::string& path) {
  return path + ".tmp" + std::to_string(::getpid());
}

Status write_file(const std::string& path, const std::string& content) {
  SHEAF_TRY(make_folder(fs::path(path).parent_path()));
  const std::string temporary = temporary_beside(path);
  errno = 0;
  std::ofstream out(temporary, std::ios::binary | std::ios::trunc);
  out << content;
  out.close();
  if (!out) return errno_error(temporary, errno ? errno : EIO);
  if (std::rename(temporary.c_str(), path.c_str()) != 0) return errno_error(path, errno);
  return {};
}

// "../../blobs" seen from snapshots/COMMIT, one "../" more for every folder in `path`.
std::string blobs_seen_from(const std::string& path) {
  std::string out = "../../";
  for (const char c : path)
    if (c == '/') out += "../";
  return out + "blobs/";
}

}  // namespace

HfCache::HfCache(const std::string& root, const RepoName& repo)
    : root_(root),
      repo_folder_name_("models--" + repo.owner + "--" + repo.name),
      folder_(root + "/" + repo_folder_name_) {}

std::string HfCache::snapshot(const std::string& commit) const {
  return folder_ + "/snapshots/" + commit;
}
std::string HfCache::blob(const std::string& etag) const { return folder_ + "/blobs/" + etag; }
std::string HfCache::lock_file(const std::string& etag) const {
  return root_ + "/.locks/" + repo_folder_name_ + "/" + etag + ".lock";
}

std::optional<std::string> HfCache::read_ref(const std::string& revision) const {
  std::ifstream in(folder_ + "/refs/" + revision, std::ios::binary);
  std::string commit;
  if (!(in >> commit) || !is_commit(commit)) return std::nullopt;
  return commit;
}

Status HfCache::write_ref(const std::string& revision, const std::string& commit) const {
  if (revision == commit || read_ref(revision) == commit) return {};
  return write_file(folder_ + "/refs/" + revision, commit);
}

bool HfCache::has_blob(const std::string& etag) const {
  std::error_code error;
  return fs::is_regular_file(blob(etag), error);
}

bool HfCache::has(const std::string& commit, const std::string& path) const {
  std::error_code error;
  return fs::is_regular_file(snapshot(commit) + "/" + path, error);  // follows the link
}

bool HfCache::is_known_missing(const std::string& commit, const std::string& path) const {
  std::error_code error;
  return fs::is_regular_file(folder_ + "/.no_exist/" + commit + "/" + path, error);
}

Status HfCache::mark_missing(const std::string& commit, const std::string& path) const {
  return write_file(folder_ + "/.no_exist/" + commit + "/" + path, "");
}

bool HfCache::is_listed(const std::string& commit, const std::string& path) const {
  std::ifstream in(folder_ + "/trees/" + commit + ".json");
  if (!in) return false;
  const auto tree = nlohmann::json::parse(in, nullptr, false);
  if (!tree.is_object()) return false;
  const auto files = tree.find("files");
  return files != tree.end() && files->is_object() && files->contains(path);
}

Status HfCache::prepare() const {
  SHEAF_TRY(make_folder(folder_ + "/blobs"));
  SHEAF_TRY(make_folder(folder_ + "/snapshots"));
  std::error_code error;
  const std::string tag = root_ + "/CACHEDIR.TAG";
  if (fs::exists(tag, error)) return {};
  return write_file(tag, kCachedirTag);
}

Status HfCache::link(const std::string& commit, const std::string& path,
                     const std::string& etag) const {
  const std::string pointer = snapshot(commit) + "/" + path;
  SHEAF_TRY(make_folder(fs::path(pointer).parent_path()));
  // By way of a temporary name, since rename replaces a dangling link and whatever another process
  // made.
  const std::string temporary = temporary_beside(pointer);
  ::unlink(temporary.c_str());
  const bool linked = ::symlink((blobs_seen_from(path) + etag).c_str(), temporary.c_str()) == 0;
  if (!linked && errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS)
    return errno_error(pointer, errno);
  const std::string source = linked ? temporary : blob(etag);
  if (std::rename(source.c_str(), pointer.c_str()) != 0) return errno_error(pointer, errno);
  return {};
}

}  // namespace sheaf::hub
