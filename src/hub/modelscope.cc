#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "base/file_lock.h"
#include "base/log.h"
#include "hub/download.h"
#include "hub/http.h"
#include "hub/modelscope_listing.h"
#include "hub/names.h"
#include "hub/retry.h"
#include "hub/sources.h"

namespace sheaf::hub {
namespace fs = std::filesystem;
namespace {

// A dot in a name would make Python packages of folders, so ModelScope's cache spells it "___".
std::string folder_spelling(std::string name) {
  for (std::size_t at = 0; (at = name.find('.', at)) != std::string::npos; at += 3)
    name.replace(at, 1, "___");
  return name;
}

// Where the generations of ModelScope's client keep a model, newest first; the first is where sheaf
// writes, since all but the oldest look there.
std::vector<std::string> candidate_folders(const std::string& cache, const RepoName& repo,
                                           const std::string& revision) {
  const std::string safe = repo.owner + "/" + folder_spelling(repo.name);
  return {cache + "/models/" + safe,
          cache + "/models/" + repo.owner + "--" + repo.name + "/snapshots/" + revision,
          cache + "/hub/models/" + safe,
          cache + "/" + safe,
          cache + "/hub/" + safe,
          cache + "/" + repo.full()};
}

class ModelScopeModel {
 public:
  ModelScopeModel(const RepoName& repo, const std::string& revision, const HubOptions& options,
                  const ProgressCallback& progress)
      : repo_(repo.full()),
        revision_(revision.empty() ? "master" : revision),
        options_(options),
        progress_(progress),
        folders_(candidate_folders(options.modelscope_cache_folder, repo, revision_)),
        client_({options.modelscope_token, options.modelscope_endpoint}) {
    retry_.first_wait_ms = options.retry_wait_ms;
  }

  Result<ResolvedModel> resolve(const WantedFiles& files) {
    if (!is_safe_path(revision_))
      return Error{ErrorCode::invalid_argument, fmt::format("'{}' is not a revision", revision_)};
    if (options_.offline) return from_cache(files, options_.offline_because);
    // These folders do not say which revision they hold, so the hub is asked every time.
    auto listing = list();
    if (listing.ok()) return fetch(*listing, files);
    const Error& error = listing.error();
    auto cached = from_cache(files, "cannot be fetched: " + error.message);
    if (!cached.ok()) return error.code == ErrorCode::unavailable ? cached.error() : error;
    log(LogLevel::warn, "{}; using what the cache holds of {}", error.message, repo_);
    return cached;
  }

 private:
  ResolvedModel resolved(const std::string& folder) const { return {repo_, folder, revision_}; }

  std::string existing_folder() const {
    const auto found =
        std::find_if(folders_.begin(), folders_.end(), [](const std::string& folder) {
          std::error_code error;
          return fs::is_directory(folder, error);
        });
    return found == folders_.end() ? "" : *found;
  }

  Result<ResolvedModel> from_cache(const WantedFiles& files, const std::string& why_not) const {
    const std::string folder = existing_folder();
    if (folder.empty())
      return Error{ErrorCode::not_found, fmt::format("{} is not in the cache {}; {}", repo_,
                                                     options_.modelscope_cache_folder, why_not)};
    const auto missing = first_missing(folder, files);
    if (!missing) return resolved(folder);
    return Error{ErrorCode::not_found,
                 fmt::format("{} is only half in the cache: {} is missing from {}; {}", repo_,
                             missing->path, folder, why_not)};
  }

  // `route`: what follows ".../repo", with "?".
  std::string api(const std::string& route) const {
    return fmt::format("{}/api/v1/models/{}/repo{}{}Revision={}", options_.modelscope_endpoint,
                       repo_, route, route.ends_with('?') ? "" : "&", quote(revision_));
  }

  Result<ModelScopeListing> list() {
    HttpRequest request;
    request.url = api("/files?Recursive=true");
    request.whole_timeout_s = request.stall_timeout_s = options_.metadata_timeout_s;
    SHEAF_ASSIGN(const HttpResponse response, send_with_retries(client_, request, retry_));
    if (response.succeeded()) return parse_modelscope_listing(response.body, repo_);
    if (response.status == 401 || response.status == 403 || response.status == 404)
      return Error{ErrorCode::not_found,
                   fmt::format("{} has no model {} (revision {}), or it is private: check the "
                               "name, or set MODELSCOPE_API_TOKEN",
                               options_.modelscope_endpoint, repo_, revision_)};
    return Error{response.is_transient() ? ErrorCode::unavailable : ErrorCode::io,
                 fmt::format("{} answers {} for {} {}", options_.modelscope_endpoint,
                             response.status, repo_, response.broken)};
  }

  Result<ResolvedModel> fetch(const ModelScopeListing& listing, const WantedFiles& files) {
    const std::string existing = existing_folder();
    const std::string folder = existing.empty() ? folders_.front() : existing;
    for (const auto& file : in_fetch_order(files.first))
      SHEAF_TRY(fetch_listed(folder, file, listing));
    SHEAF_ASSIGN(const auto further, further_files(folder, files));
    for (const auto& file : further) SHEAF_TRY(fetch_listed(folder, file, listing));
    return resolved(folder);
  }

  Status fetch_listed(const std::string& folder, const WantedFile& file,
                      const ModelScopeListing& listing) {
    const auto listed = listing.find(file.path);
    if (listed != listing.end()) return fetch_file(folder, file.path, listed->second);
    if (!file.required) return {};
    return Error{ErrorCode::not_found,
                 fmt::format("{} (revision {}) has no file {}: sheaf cannot serve it{}", repo_,
                             revision_, file.path, remedy_of(file))};
  }

  Status fetch_file(const std::string& folder, const std::string& path, const ListedFile& listed) {
    const std::string target = folder + "/" + path;
    if (is_current(target, listed)) return {};
    const std::string lock_name = folder_spelling(repo_ + "/" + path);
    std::string flat = lock_name;
    std::replace(flat.begin(), flat.end(), '/', '-');
    SHEAF_ASSIGN(
        const FileLock lock,
        FileLock::acquire(options_.modelscope_cache_folder + "/.lock/" + flat, "fetching " + path));
    if (is_current(target, listed)) return {};
    std::error_code error;
    fs::create_directories(fs::path(target).parent_path(), error);
    if (error) return errno_error(target, error.value());

    Download download;
    download.url = api("?") + "&FilePath=" + quote(path);
    download.file = path;
    download.target = target;
    download.partial = target + (lock.held() ? "" : fmt::format(".{}", ::getpid())) + ".incomplete";
    download.bytes = listed.bytes;
    if (!listed.sha256.empty()) download.checksum = Checksum{Digest::sha256, listed.sha256};
    return run_download(client_, download, {options_.download_timeout_s, retry_}, progress_);
  }

  // Same size is the same file, but for small ones: configurations change without changing their
  // size.
  static bool is_current(const std::string& path, const ListedFile& listed) {
    constexpr std::uint64_t kCheapBytes = 8 << 20;
    std::error_code error;
    if (!fs::is_regular_file(path, error) || fs::file_size(path, error) != listed.bytes)
      return false;
    if (listed.bytes > kCheapBytes || listed.sha256.empty()) return true;
    const auto actual = digest_file(path, Digest::sha256);
    return actual.ok() && *actual == listed.sha256;
  }

  const std::string repo_;
  const std::string revision_;
  const HubOptions& options_;
  const ProgressCallback& progress_;
  const std::vector<std::string> folders_;
  HttpClient client_;
  RetryPolicy retry_;
};

}  // namespace

Result<ResolvedModel> resolve_modelscope(const RepoName& repo, const std::string& revision,
                                         const WantedFiles& files, const HubOptions& options,
                                         const ProgressCallback& progress) {
  return ModelScopeModel(repo, revision, options, progress).resolve(files);
}

}  // namespace sheaf::hub
