#include "slices/mig_journal.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <nlohmann/json.hpp>
#include <utility>

#include "slices/durable_file.h"

namespace sheaf::slices {

// nlohmann finds these by name.
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ComputeState, profile_id, start, size)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(InstanceState, profile_id, name, start, size, compute)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(CardState, gpu, uuid, mig, mig_pending, instances)

namespace {

constexpr int kLockStepMs = 20;

Error refused(const std::string& path) {
  if (errno == EACCES || errno == EPERM || errno == EROFS)
    return {
        ErrorCode::permission_denied,
        fmt::format("{} cannot be written: changing slices needs root, or `sheaf slices daemon` "
                    "running as root; SHEAF_SLICES_FOLDER names another folder",
                    path)};
  return errno_error(path, errno);
}

// The first line is the change, each other one a step; a last line that was cut off is no step.
UnfinishedChange parse_journal(const std::string& text) {
  UnfinishedChange change;
  std::size_t at = text.find('\n');
  const auto head = nlohmann::json::parse(text.substr(0, at));
  head.at("what").get_to(change.what);
  head.at("before").get_to(change.before);
  for (std::size_t end = 0; (end = text.find('\n', ++at)) != std::string::npos; at = end)
    change.steps.push_back(text.substr(at, end - at));
  return change;
}

}  // namespace

std::string default_slices_folder() {
  const char* folder = std::getenv("SHEAF_SLICES_FOLDER");
  return folder != nullptr && *folder != 0 ? folder : "/run/sheaf-slices";
}

Result<MigJournal> MigJournal::open(const std::string& folder, int wait_ms,
                                    const std::string& who) {
  if (mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) return refused(folder);
  const std::string path = folder + "/lock";
  Fd lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!lock) return refused(path);
  for (int waited = 0; flock(lock.get(), LOCK_EX | LOCK_NB) != 0; waited += kLockStepMs) {
    if (errno != EWOULDBLOCK && errno != EINTR) return errno_error(path, errno);
    if (waited >= wait_ms)
      return Error{ErrorCode::unavailable,
                   fmt::format("the machine's partitions are being changed by {}; try again, or "
                               "wait longer (--wait)",
                               content_of(path))};
    const timespec step{0, kLockStepMs * 1'000'000L};
    nanosleep(&step, nullptr);
  }
  const std::string holder = fmt::format("{} (process {})", who, getpid());
  if (ftruncate(lock.get(), 0) != 0) return errno_error(path, errno);
  SHEAF_TRY(write_synced(lock.get(), holder, path));
  return MigJournal(folder, std::move(lock));
}

Result<std::optional<UnfinishedChange>> MigJournal::unfinished() const {
  if (access(path().c_str(), F_OK) != 0) return std::optional<UnfinishedChange>();
  try {
    return std::optional(parse_journal(content_of(path())));
  } catch (const nlohmann::json::exception& thrown) {
    return Error{ErrorCode::corrupt,
                 fmt::format("{} cannot be read ({}): compare `sheaf slices` with what you want, "
                             "then remove it",
                             path(), thrown.what())};
  }
}

Status MigJournal::begin(const std::string& what, const std::vector<CardState>& before) {
  const nlohmann::json head = {{"what", fmt::format("{} (process {})", what, getpid())},
                               {"before", before}};
  const std::string fresh = path() + ".new";
  file_ = Fd(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!file_) return refused(fresh);
  SHEAF_TRY(write_synced(file_.get(), head.dump() + "\n", fresh));
  // It appears whole or not at all.
  if (rename(fresh.c_str(), path().c_str()) != 0) return errno_error(path(), errno);
  return sync_folder(folder_);
}

Status MigJournal::note_step(const std::string& step) {
  return write_synced(file_.get(), step + "\n", path());
}

Status MigJournal::end() {
  file_.reset();
  if (unlink(path().c_str()) != 0 && errno != ENOENT) return errno_error(path(), errno);
  return sync_folder(folder_);
}

}  // namespace sheaf::slices
