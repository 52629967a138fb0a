#include "cli/measured_store.h"

#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "cli/version.h"

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
  if (const char* own = std::getenv("SHEAF_CACHE"); own != nullptr && *own != 0) return own;
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache != 0)
    return fs::path(cache) / "sheaf";
  const char* home = std::getenv("HOME");
  return fs::path(home != nullptr && *home != 0 ? home : "/") / ".cache/sheaf";
}

std::string whole_path(const std::string& path) {
  std::error_code ignored;
  return fs::weakly_canonical(path, ignored).string();
}

// How the names of all files of a model begin.
std::string stem_of(const ModelSource& source) {
  return fmt::format("{:016x}", hash_of(whole_path(source.folder) + '\n' + source.pooling));
}

fs::path file_of(const Measured& of) {
  const std::string on = of.on.empty() ? "" : fmt::format("-{:016x}", hash_of(of.on));
  return cache_folder() / of.kind / (stem_of(of.source) + on + ".json");
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

json facts_of(const Measured& of) {
  const ModelSource& source = of.source;
  json files = json::object();
  std::error_code failed, ignored;
  for (fs::recursive_directory_iterator at(source.folder, failed), end; !failed && at != end;
       at.increment(failed))
    if (at->is_regular_file(ignored)) files[at->path().string()] = stamp_of(at->path());
  const json whole = {{"version", kVersion},
                      {"program", whole_path(of.program)},
                      {"program_stamp", stamp_of(of.program)},
                      {"processor", processor()},
                      {"on", of.on},
                      {"folder", source.folder},
                      {"pooling", source.pooling},
                      {"files", std::move(files)}};
  // As it is read back: names of files need not be UTF-8.
  return json::parse(text_of(whole));
}

// Of a regular file of reasonable size: the folder is anybody's.
json read_file(const fs::path& path) {
  std::error_code failed;
  if (!fs::is_regular_file(path, failed) || fs::file_size(path, failed) > kBytesMax || failed)
    return nullptr;
  std::ifstream file(path);
  return json::parse(file, nullptr, /*allow_exceptions=*/false);
}

}  // namespace

std::optional<json> read_measured(const Measured& of) {
  const json kept = read_file(file_of(of));
  if (!kept.is_object() || !kept.contains(of.kind)) return std::nullopt;
  if (kept.value("measured_of", json()) != facts_of(of)) return std::nullopt;
  return kept.at(of.kind);
}

Status write_measured(const Measured& of, json result) {
  const json kept = {{"measured_of", facts_of(of)}, {of.kind, std::move(result)}};
  const fs::path path = file_of(of);
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

Result<FileLock> lock_measuring(const Measured& of, const std::string& doing) {
  return FileLock::acquire(file_of(of).string() + ".lock", doing);
}

std::vector<MeasuredOnCard> measured_on_cards(const std::string& kind, const ModelSource& source) {
  std::vector<MeasuredOnCard> all;
  std::error_code failed;
  for (fs::directory_iterator at(cache_folder() / kind, failed), end; !failed && at != end;
       at.increment(failed)) {
    const std::string name = at->path().filename().string();
    if (!name.starts_with(stem_of(source) + "-") || !name.ends_with(".json")) continue;
    const json kept = read_file(at->path());
    const json facts = kept.is_object() ? kept.value("measured_of", json()) : json();
    if (!facts.is_object() || !facts.contains("program") || !facts["program"].is_string() ||
        !facts.contains("on") || !facts["on"].is_string())
      continue;
    Measured of{kind, facts["program"], source, facts["on"]};
    if (auto result = read_measured(of)) all.push_back({std::move(of), std::move(*result)});
  }
  std::ranges::sort(all, {}, [](const MeasuredOnCard& one) { return one.of.on; });
  return all;
}

}  // namespace sheaf::cli
