#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "hub/names.h"

namespace sheaf::hub {

// One repository in the Hugging Face cache; the layout is the hub's own, so that Python programs
// and sheaf share files (huggingface_hub, "Understand caching"):
//   models--ORG--NAME/refs/REVISION             the commit, as text
//   models--ORG--NAME/blobs/ETAG                bytes
//   models--ORG--NAME/snapshots/COMMIT/PATH     relative symbolic link to a blob
//   models--ORG--NAME/.no_exist/COMMIT/PATH     empty: the commit is known to lack this file
//   models--ORG--NAME/trees/COMMIT.json         the commit's list of files (read only; newer Python
//   writes it) .locks/models--ORG--NAME/ETAG.lock          flock while a blob is fetched
// Paths, revisions and ETags given here have passed is_safe_path() or is_safe_file_name().
class HfCache {
 public:
  HfCache(const std::string& root, const RepoName& repo);

  std::string snapshot(const std::string& commit) const;
  std::string blob(const std::string& etag) const;
  std::string lock_file(const std::string& etag) const;

  std::optional<std::string> read_ref(const std::string& revision) const;
  Status write_ref(const std::string& revision, const std::string& commit) const;

  bool has_blob(const std::string& etag) const;
  // The snapshot has the file, and its bytes are there.
  bool has(const std::string& commit, const std::string& path) const;
  bool is_known_missing(const std::string& commit, const std::string& path) const;
  Status mark_missing(const std::string& commit, const std::string& path) const;
  // The stored list of the commit's files names this one.
  bool is_listed(const std::string& commit, const std::string& path) const;

  // Makes the folders and CACHEDIR.TAG.
  Status prepare() const;
  // snapshots/COMMIT/PATH → blobs/ETAG; where the file system has no links the blob itself moves
  // there.
  Status link(const std::string& commit, const std::string& path, const std::string& etag) const;

 private:
  std::string root_;
  std::string repo_folder_name_;
  std::string folder_;
};

}  // namespace sheaf::hub
