#include "hub/hub.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>

#include "base/text.h"
#include "hub/names.h"
#include "hub/sources.h"

namespace sheaf::hub {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kModelScopePrefix = "modelscope:";

// "models--org--name" → "org/name"; nothing for other folders.
std::string repo_of(std::string folder_name) {
  constexpr std::string_view kPrefix = "models--";
  if (!folder_name.starts_with(kPrefix)) return "";
  folder_name.erase(0, kPrefix.size());
  if (const auto dashes = folder_name.find("--"); dashes != std::string::npos)
    folder_name.replace(dashes, 2, "/");
  return folder_name;
}

// The hub's name of a snapshot in its cache, such as its own tools print the paths of; of other
// folders the last part.
std::string name_of_folder(const fs::path& folder) {
  const fs::path parent = folder.parent_path();
  if (parent.filename() != "snapshots") return folder.filename().string();
  const std::string repo = repo_of(parent.parent_path().filename().string());
  return repo.empty() ? folder.filename().string() : repo;
}

Result<ResolvedModel> resolve_folder(const std::string& source, const WantedFiles& files) {
  std::error_code error;
  const fs::path folder = fs::canonical(source, error);
  if (error) return errno_error(source, error.value());
  const auto missing = first_missing(folder.string(), files);
  if (missing)
    return Error{ErrorCode::not_found, fmt::format("the folder {} is not a model: it has no {}{}",
                                                   source, missing->path, remedy_of(*missing))};
  return ResolvedModel{name_of_folder(folder), folder.string(), ""};
}

// "./x", "/x", "~/x", "../x", "x/y/z": a path that was mistyped, not a name to ask a hub for.
bool looks_like_path(std::string_view source) {
  return source.starts_with('/') || source.starts_with('.') || source.starts_with('~') ||
         std::count(source.begin(), source.end(), '/') > 1;
}

// What a folder holds; nothing if it cannot be read.
std::vector<fs::path> entries_of(const fs::path& folder) {
  std::vector<fs::path> entries;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    entries.push_back(it->path());
  return entries;
}

std::uint64_t bytes_below(const fs::path& folder) {
  std::uint64_t total = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator it(folder, error), end; !error && it != end;
       it.increment(error)) {
    std::error_code ignored;
    if (!fs::is_regular_file(it->path(), ignored))
      continue;  // follows links; dangling ones count nothing
    const auto size = fs::file_size(it->path(), ignored);
    if (!ignored) total += size;
  }
  return total;
}

}  // namespace

Result<std::vector<WantedFile>> further_files(const std::string& folder, const WantedFiles& files) {
  if (!files.further) return std::vector<WantedFile>();
  return files.further(folder);
}

std::vector<WantedFile> all_files(const std::string& folder, const WantedFiles& files) {
  std::vector<WantedFile> all = files.first;
  const auto further = further_files(folder, files);
  if (further.ok()) all.insert(all.end(), further->begin(), further->end());
  return all;
}

std::optional<WantedFile> first_missing(const std::string& folder, const WantedFiles& files) {
  std::error_code error;
  for (const auto& file : all_files(folder, files))
    if (file.required && !fs::is_regular_file(folder + "/" + file.path, error)) return file;
  return std::nullopt;
}

std::string remedy_of(const WantedFile& file) {
  return file.remedy.empty() ? "" : "; " + file.remedy;
}

std::vector<WantedFile> in_fetch_order(std::vector<WantedFile> files) {
  std::stable_partition(files.begin(), files.end(),
                        [](const WantedFile& file) { return !file.required; });
  return files;
}

bool is_hub_name(const std::string& source) {
  std::error_code error;
  return !fs::exists(source, error) && !looks_like_path(source);
}

std::string similar_folder(const std::string& source) {
  const fs::path path = without_trailing_slash(source);
  const fs::path parent = path.parent_path();
  std::vector<std::string> names;
  std::error_code error;
  for (const fs::path& entry : entries_of(parent.empty() ? "." : parent))
    if (fs::exists(entry / "config.json", error)) names.push_back(entry.filename().string());
  std::sort(names.begin(), names.end());  // so that of two that are as near the same one is named
  const std::vector<std::string_view> candidates(names.begin(), names.end());
  const std::string_view near = nearest_word(path.filename().string(), candidates);
  return near.empty() ? "" : (parent / near).string();
}

namespace {

Error not_a_folder(const std::string& source) {
  std::error_code error;
  if (fs::exists(source, error))
    return {ErrorCode::not_found,
            fmt::format("{} is a file; name the folder that holds it: {}", source,
                        fs::absolute(source, error).parent_path().string())};
  const std::string similar = similar_folder(source);
  return {ErrorCode::not_found,
          fmt::format("the folder {} does not exist{}", source,
                      similar.empty() ? "" : fmt::format("; did you mean {}?", similar))};
}

Error with_similar_folder(Error error, const std::string& source) {
  if (const std::string similar = similar_folder(source); !similar.empty())
    error.message += fmt::format("; or did you mean the folder {}?", similar);
  return error;
}

}  // namespace

Result<ResolvedModel> resolve_model(const std::string& source, const std::string& revision,
                                    const WantedFiles& files, const HubOptions& options,
                                    const ProgressCallback& progress) {
  std::error_code error;
  if (fs::is_directory(source, error)) return resolve_folder(source, files);
  if (source.starts_with(kModelScopePrefix)) {
    SHEAF_ASSIGN(const RepoName repo, parse_repo_name(source.substr(kModelScopePrefix.size())));
    return resolve_modelscope(repo, revision, files, options, progress);
  }
  if (!is_hub_name(source)) return not_a_folder(source);
  const bool bare = source.find('/') == std::string::npos;
  SHEAF_ASSIGN(const RepoName repo,
               parse_repo_name(bare ? "sentence-transformers/" + source : source));
  auto resolved = resolve_hugging_face(repo, revision, files, options, progress);
  if (!resolved.ok()) return with_similar_folder(std::move(resolved).error(), source);
  return resolved;
}

std::vector<CachedModel> list_cached_models(const HubOptions& options) {
  std::vector<CachedModel> models;
  for (const fs::path& repo : entries_of(options.cache_folder)) {
    const std::string name = repo_of(repo.filename().string());
    if (name.empty()) continue;
    for (const fs::path& snapshot : entries_of(repo / "snapshots"))
      models.push_back(
          {name, snapshot.filename().string(), snapshot.string(), bytes_below(snapshot)});
  }
  std::sort(models.begin(), models.end(), [](const CachedModel& a, const CachedModel& b) {
    return std::tie(a.name, a.revision) < std::tie(b.name, b.revision);
  });
  return models;
}

}  // namespace sheaf::hub
