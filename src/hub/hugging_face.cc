#include <fmt/core.h>
#include <unistd.h>

#include <charconv>
#include <optional>

#include "base/file_lock.h"
#include "base/log.h"
#include "hub/download.h"
#include "hub/hf_cache.h"
#include "hub/http.h"
#include "hub/names.h"
#include "hub/retry.h"
#include "hub/sources.h"

namespace sheaf::hub {
namespace {

constexpr int kMaxRenames = 5;

// What a HEAD of one file says.
struct FileFacts {
  std::string url;     // after renames of the repository
  std::string commit;  // may be empty: mirrors forget it
  std::string etag;
  std::optional<std::uint64_t> bytes;
  bool exists = true;
};

// `W/"abc"` → `abc`
std::string plain_etag(std::string_view text) {
  if (text.starts_with("W/")) text.remove_prefix(2);
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"')
    text = text.substr(1, text.size() - 2);
  return std::string(text);
}

std::optional<std::uint64_t> parse_size(std::string_view text) {
  std::uint64_t size = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), size);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return size;
}

// The hub names small files by git's SHA-1 and large ones by SHA-256; a mirror's ETag may be
// neither.
std::optional<Checksum> checksum_of(const std::string& etag) {
  if (is_lower_hex(etag, 64)) return Checksum{Digest::sha256, etag};
  if (is_lower_hex(etag, 40)) return Checksum{Digest::git_blob_sha1, etag};
  return std::nullopt;
}

// One model at one revision, asked of the hub and kept in the cache.
class HuggingFaceModel {
 public:
  HuggingFaceModel(const RepoName& repo, const std::string& revision, const HubOptions& options,
                   const ProgressCallback& progress)
      : repo_(repo.full()),
        revision_(revision.empty() ? "main" : revision),
        options_(options),
        progress_(progress),
        cache_(options.cache_folder, repo),
        client_({options.token, options.endpoint}) {
    retry_.first_wait_ms = ask_retry_.first_wait_ms = options.retry_wait_ms;
  }

  Result<ResolvedModel> resolve(const WantedFiles& files) {
    if (!is_safe_path(revision_))
      return Error{ErrorCode::invalid_argument, fmt::format("'{}' is not a revision", revision_)};
    // A commit never changes: what is here needs no question to the hub.
    if (is_commit(revision_) && missing_file(revision_, files).empty()) return resolved(revision_);
    if (options_.offline) return from_cache(files, options_.offline_because);
    // With a whole snapshot at hand a hub in trouble is not worth waiting for.
    if (from_cache(files, "").ok()) ask_retry_.attempts = 1;
    auto commit = fetch(files);
    if (commit.ok()) return resolved(*commit);
    const Error& error = commit.error();
    auto cached =
        from_cache(files, "cannot be fetched: " + error.message +
                              "; HF_ENDPOINT may name a mirror, and a folder does as well");
    if (!cached.ok()) return error.code == ErrorCode::unavailable ? cached.error() : error;
    log(LogLevel::warn, "{}; using what the cache holds of {} ({}); HF_HUB_OFFLINE=1 asks no hub",
        error.message, repo_, cached->revision);
    return cached;
  }

 private:
  ResolvedModel resolved(const std::string& commit) const {
    return {repo_, cache_.snapshot(commit), commit};
  }

  // A file without which the snapshot is half a model, or "".
  std::string missing_file(const std::string& commit, const WantedFiles& files) const {
    for (const auto& file : all_files(cache_.snapshot(commit), files))
      if (!cache_.has(commit, file.path) && (file.required || cache_.is_listed(commit, file.path)))
        return file.path;
    return "";
  }

  Result<ResolvedModel> from_cache(const WantedFiles& files, const std::string& why_not) const {
    const auto commit =
        is_commit(revision_) ? std::optional(revision_) : cache_.read_ref(revision_);
    if (!commit)
      return Error{ErrorCode::not_found,
                   fmt::format("{} (revision {}) is not in the cache {}; {}", repo_, revision_,
                               options_.cache_folder, why_not)};
    const std::string missing = missing_file(*commit, files);
    if (missing.empty()) return resolved(*commit);
    return Error{ErrorCode::not_found,
                 fmt::format("{} is only half in the cache: {} is missing from {}; {}", repo_,
                             missing, cache_.snapshot(*commit), why_not)};
  }

  // The commit whose snapshot now holds all files that exist.
  Result<std::string> fetch(const WantedFiles& files) {
    SHEAF_ASSIGN(const std::string commit, find_commit(files));
    if (all_known(commit, files)) {
      if (auto status = cache_.write_ref(revision_, commit);
          !status.ok())  // the cache may be read-only
        log(LogLevel::debug, "{}", status.error().message);
      return commit;
    }
    SHEAF_TRY(cache_.prepare());
    // The first ref is written early, so that a broken-off fetch can be named; a later one only
    // when its snapshot is whole, so that the old one can still be used.
    if (!cache_.read_ref(revision_)) SHEAF_TRY(cache_.write_ref(revision_, commit));
    for (const auto& file : in_fetch_order(files.first)) SHEAF_TRY(fetch_file(commit, file));
    SHEAF_ASSIGN(const auto further, further_files(cache_.snapshot(commit), files));
    for (const auto& file : further) SHEAF_TRY(fetch_file(commit, file));
    SHEAF_TRY(cache_.write_ref(revision_, commit));
    return commit;
  }

  bool all_known(const std::string& commit, const WantedFiles& files) const {
    for (const auto& file : all_files(cache_.snapshot(commit), files))
      if (!cache_.has(commit, file.path) &&
          (file.required || !cache_.is_known_missing(commit, file.path)))
        return false;
    return true;
  }

  // One HEAD turns the branch into a commit; from there on everything is asked of that commit, so
  // that a push in the meantime cannot mix two versions.
  Result<std::string> find_commit(const WantedFiles& files) {
    if (files.first.empty())
      return Error{ErrorCode::internal, "resolve_model() needs at least one file"};
    const auto ordered = in_fetch_order(files.first);
    SHEAF_ASSIGN(const FileFacts facts, ask(revision_, ordered.back().path));
    if (is_commit(facts.commit)) return facts.commit;
    if (!facts.exists) return no_such_file(ordered.back());
    return Error{ErrorCode::io,
                 fmt::format("{} does not name the commit of {} (header X-Repo-Commit is '{}')",
                             options_.endpoint, repo_, facts.commit)};
  }

  Status fetch_file(const std::string& commit, const WantedFile& file) {
    if (!is_safe_path(file.path))
      return Error{ErrorCode::invalid_argument,
                   fmt::format("'{}' is not a path inside a model", file.path)};
    if (cache_.has(commit, file.path)) return {};
    const bool missing = !file.required && cache_.is_known_missing(commit, file.path);
    if (missing) return {};
    SHEAF_ASSIGN(const FileFacts facts, ask(commit, file.path));
    if (!facts.exists) {
      if (file.required) return no_such_file(file);
      return cache_.mark_missing(commit, file.path);
    }
    if (!is_safe_file_name(facts.etag))
      return Error{ErrorCode::corrupt, fmt::format("{} of {}: the hub sends an unusable ETag '{}'",
                                                   file.path, repo_, facts.etag)};
    SHEAF_ASSIGN(const FileLock lock,
                 FileLock::acquire(cache_.lock_file(facts.etag), "fetching " + file.path));
    if (!cache_.has_blob(facts.etag) && !cache_.has(commit, file.path))
      SHEAF_TRY(download(file.path, facts, lock.held()));
    if (cache_.has(commit, file.path)) return {};
    return cache_.link(commit, file.path, facts.etag);
  }

  Status download(const std::string& path, const FileFacts& facts, bool locked) {
    Download download;
    download.url = facts.url;
    download.file = path;
    download.target = cache_.blob(facts.etag);
    // Without a lock two processes may be here: each then needs a file of its own.
    download.partial =
        download.target + (locked ? "" : fmt::format(".{}", ::getpid())) + ".incomplete";
    download.bytes = facts.bytes;
    download.checksum = checksum_of(facts.etag);
    return run_download(client_, download, {options_.download_timeout_s, retry_}, progress_);
  }

  std::string file_url(const std::string& revision, const std::string& path) const {
    return fmt::format("{}/{}/resolve/{}/{}", options_.endpoint, repo_, quote(revision),
                       quote_path(path));
  }

  // HEAD. A relative redirect is a renamed repository and is followed; an absolute one leads to the
  // content network, whose headers say nothing about the file, so the answer before it is the one
  // to read.
  Result<FileFacts> ask(const std::string& revision, const std::string& path) {
    HttpRequest request;
    request.method = HttpRequest::Method::head;
    request.url = file_url(revision, path);
    request.whole_timeout_s = request.stall_timeout_s = options_.metadata_timeout_s;
    for (int renames = 0; renames <= kMaxRenames; ++renames) {
      SHEAF_ASSIGN(const HttpResponse response, send_with_retries(client_, request, ask_retry_));
      const std::string location(response.header("location"));
      const bool redirect = response.status >= 300 && response.status < 400 && !location.empty();
      if (redirect && is_relative_location(location)) {
        SHEAF_ASSIGN(request.url, resolve_url(request.url, location));
        continue;
      }
      if (redirect || response.succeeded()) return read_facts(response, request.url, redirect);
      return absent_or_error(response);
    }
    return Error{ErrorCode::io, fmt::format("{} redirects {} more than {} times", options_.endpoint,
                                            path, kMaxRenames)};
  }

  static FileFacts read_facts(const HttpResponse& response, const std::string& url, bool redirect) {
    const auto first_of = [&response](const char* linked, const char* own) {
      const auto value = response.header(linked);
      return value.empty() ? response.header(own) : value;
    };
    FileFacts facts;
    facts.url = url;
    facts.commit = response.header("x-repo-commit");
    facts.etag = plain_etag(first_of("x-linked-etag", "etag"));
    // A redirect's own length is that of its page.
    facts.bytes = parse_size(redirect ? response.header("x-linked-size")
                                      : first_of("x-linked-size", "content-length"));
    return facts;
  }

  Result<FileFacts> absent_or_error(const HttpResponse& response) const {
    const auto code = response.header("x-error-code");
    if (code == "EntryNotFound" || (code.empty() && response.status == 404)) {
      FileFacts facts;
      facts.commit = response.header("x-repo-commit");
      facts.exists = false;
      return facts;
    }
    return refusal(response, code);
  }

  Error refusal(const HttpResponse& response, std::string_view code) const {
    const std::string token_hint = options_.token.empty()
                                       ? "set HF_TOKEN to a token that may read it"
                                       : "the token in use may not read it";
    if (code == "GatedRepo")
      return {ErrorCode::permission_denied,
              fmt::format("{} is gated: accept its conditions at {}/{}, and {}", repo_,
                          options_.endpoint, repo_, token_hint)};
    if (code == "RevisionNotFound")
      return {ErrorCode::not_found,
              fmt::format("{} has no revision '{}' at {}", repo_, revision_, options_.endpoint)};
    // The hub does not tell a stranger whether a private model exists.
    if (code == "RepoNotFound" || response.status == 401)
      return {ErrorCode::not_found,
              fmt::format("{} has no model {}, or it is private: check the name, or {}",
                          options_.endpoint, repo_, token_hint)};
    if (response.status == 403)
      return {ErrorCode::permission_denied,
              fmt::format("{} refuses access to {}: {}", options_.endpoint, repo_, token_hint)};
    const std::string said(response.header("x-error-message"));
    const std::string broken = response.broken.empty() ? "" : fmt::format(" ({})", response.broken);
    const ErrorCode kind = response.is_transient() ? ErrorCode::unavailable : ErrorCode::io;
    return {kind, fmt::format("{} answers {} for {}{}{}", options_.endpoint, response.status, repo_,
                              said.empty() ? "" : ": " + said, broken)};
  }

  Error no_such_file(const WantedFile& file) const {
    return {ErrorCode::not_found,
            fmt::format("{} (revision {}) has no file {}: sheaf cannot serve it{}", repo_,
                        revision_, file.path, remedy_of(file))};
  }

  const std::string repo_;
  const std::string revision_;
  const HubOptions& options_;
  const ProgressCallback& progress_;
  HfCache cache_;
  HttpClient client_;
  RetryPolicy retry_;
  RetryPolicy ask_retry_;
};

}  // namespace

Result<ResolvedModel> resolve_hugging_face(const RepoName& repo, const std::string& revision,
                                           const WantedFiles& files, const HubOptions& options,
                                           const ProgressCallback& progress) {
  return HuggingFaceModel(repo, revision, options, progress).resolve(files);
}

}  // namespace sheaf::hub
