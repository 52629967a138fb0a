#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "cli/precision.h"
#include "cli/version.h"

// One file a model: what was measured, and what of: a file of another model, program or processor
// is as good as none.
namespace sheaf::cli {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr std::uintmax_t kBytesMax = 1 << 20;  // a model of many files has as many stamps

std::string text_of(const json& value) {
  return value.dump(1, ' ', /*ensure_ascii=*/false, json::error_handler_t::replace);
}

std::uint64_t hash_of(std::string_view text) {  // FNV-1a
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

fs::path cache_folder() {
  if (const char* own = std::getenv("SHEAF_CACHE"); own != nullptr && *own != 0)
    return fs::path(own) / "precision";
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache != 0)
    return fs::path(cache) / "sheaf/precision";
  const char* home = std::getenv("HOME");
  return fs::path(home != nullptr && *home != 0 ? home : "/") / ".cache/sheaf/precision";
}

fs::path file_of(const ModelSource& source) {
  std::error_code ignored;
  const std::string folder = fs::weakly_canonical(source.folder, ignored).string();
  return cache_folder() / fmt::format("{:016x}.json", hash_of(folder + '\n' + source.pooling));
}

// Size and time of change, by which a file is known to be the same.
json stamp_of(const std::string& path) {
  struct stat file {};
  if (::stat(path.c_str(), &file) != 0) return nullptr;
  return {file.st_size, file.st_mtim.tv_sec, file.st_mtim.tv_nsec};
}

// Model name and instruction sets of the first processor.
std::string processor() {
  std::ifstream lines("/proc/cpuinfo");
  std::string found;
  for (std::string line; std::getline(lines, line) && !line.empty();)
    if (line.starts_with("model name") || line.starts_with("flags")) found += line;
  return fmt::format("{:016x}, {} cores", hash_of(found), ::sysconf(_SC_NPROCESSORS_ONLN));
}

json measured_of(const std::string& replica_program, const ModelSource& source) {
  json files = json::object();
  std::error_code failed, ignored;
  for (fs::recursive_directory_iterator at(source.folder, failed), end; !failed && at != end;
       at.increment(failed))
    if (at->is_regular_file(ignored)) files[at->path().string()] = stamp_of(at->path());
  const json whole = {{"version", kVersion},       {"program", stamp_of(replica_program)},
                      {"processor", processor()},  {"folder", source.folder},
                      {"pooling", source.pooling}, {"files", std::move(files)}};
  // As it is read back: names of files need not be UTF-8.
  return json::parse(text_of(whole));
}

bool is_share(double cosine) { return cosine >= -1 && cosine <= 1; }

// float32 first, of a rate unless it is all there is.
bool is_sound(const std::vector<Precision>& precisions) {
  if (precisions.empty() || precisions.front().dtype != "float32") return false;
  if (precisions.size() > 1 && precisions.front().tokens_per_s == 0) return false;
  return std::ranges::all_of(precisions, [](const Precision& one) {
    return check_dtype(one.dtype).ok() && one.dtype != "auto" && one.tokens_per_s >= 0 &&
           one.tokens_per_s < 1e12 && is_share(one.mean_cosine) && is_share(one.min_cosine);
  });
}

// Of a regular file of reasonable size: the folder is anybody's.
json read_kept(const fs::path& path) {
  std::error_code failed;
  if (!fs::is_regular_file(path, failed) || fs::file_size(path, failed) > kBytesMax || failed)
    return nullptr;
  std::ifstream file(path);
  return json::parse(file, nullptr, /*allow_exceptions=*/false);
}

}  // namespace

std::optional<std::vector<Precision>> kept_precisions(const std::string& replica_program,
                                                      const ModelSource& source) {
  const json kept = read_kept(file_of(source));
  if (!kept.is_object()) return std::nullopt;
  try {
    if (kept.at("measured_of") != measured_of(replica_program, source)) return std::nullopt;
    std::vector<Precision> precisions;
    for (const json& one : kept.at("precisions"))
      precisions.push_back({one.at("dtype"), one.at("backend"), one.at("tokens_per_s"),
                            one.at("mean_cosine"), one.at("min_cosine")});
    if (!is_sound(precisions)) return std::nullopt;
    return precisions;
  } catch (const json::exception&) {
    return std::nullopt;
  }
}

Result<FileLock> lock_measuring(const ModelSource& source, const std::string& name) {
  return FileLock::acquire(file_of(source).string() + ".lock",
                           fmt::format("measuring precisions of model {}", name));
}

Status keep_precisions(const std::string& replica_program, const ModelSource& source,
                       std::span<const Precision> precisions) {
  json list = json::array();
  for (const Precision& precision : precisions)
    list.push_back({{"dtype", precision.dtype},
                    {"backend", precision.backend},
                    {"tokens_per_s", precision.tokens_per_s},
                    {"mean_cosine", precision.mean_cosine},
                    {"min_cosine", precision.min_cosine}});
  const json kept = {{"measured_of", measured_of(replica_program, source)},
                     {"precisions", std::move(list)}};
  const fs::path path = file_of(source);
  const fs::path whole = path.string() + fmt::format(".{}", ::getpid());
  std::error_code failed;
  fs::create_directories(path.parent_path(), failed);
  std::ofstream file(whole);
  file << text_of(kept) << '\n';
  file.close();
  if (file)
    fs::rename(whole, path, failed);
  else if (!failed)
    failed = std::make_error_code(std::errc::io_error);
  if (!failed) return {};
  std::error_code ignored;
  fs::remove(whole, ignored);
  return Error{ErrorCode::io, fmt::format("{}: {}", path.string(), failed.message())};
}

}  // namespace sheaf::cli
