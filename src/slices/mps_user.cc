#include "slices/mps_user.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/log.h"
#include "slices/helper_socket.h"
#include "slices/mps.h"
#include "slices/mps_request.h"

namespace sheaf::slices {
namespace {

constexpr std::string_view kUserName = "sheaf serve";
constexpr int kUserLockWaitMs = 5000;
constexpr TimeUs kStartRetryUs = 5 * kSecond;
// A server of MPS notices only after a while that its clients have gone.
constexpr TimeUs kClientsLeaveUs = kSecond;
constexpr auto kClientsStep = std::chrono::milliseconds(50);

}  // namespace

Result<std::vector<Slice>> MpsUser::missing(const Placement& placement) {
  std::vector<Slice> slices;
  std::set<std::string> seen;
  for (const PlacedReplica& replica : placement.replicas) {
    const Slice& slice = replica.slice;
    if (slice.kind != SliceKind::mps || !seen.insert(slice.uuid).second) continue;
    SHEAF_ASSIGN(const auto daemon, find_mps(placement.rules.slices_folder, slice.uuid));
    if (!daemon || !is_alive(daemon->process)) slices.push_back(slice);
  }
  return slices;
}

Result<std::unique_ptr<MpsUser>> MpsUser::start(const Placement& placement) {
  SHEAF_ASSIGN(const std::vector<Slice> slices, missing(placement));
  std::unique_ptr<MpsUser> user(new MpsUser(placement.rules.slices_folder));
  for (const Slice& slice : slices) {
    const Status started = user->start_on(slice.uuid);
    if (started.ok()) continue;
    const Error& error = started.error();
    if (error.code != ErrorCode::permission_denied)
      return Error{error.code, fmt::format("slice {}: {}", slice.name, error.message)};
    return Error{error.code, fmt::format("slice {} has no MPS daemon: `sheaf slices mps start "
                                         "--gpu {}` starts one; here {}",
                                         slice.name, slice.uuid, error.message)};
  }
  user->keep();
  return user;
}

MpsUser::MpsUser(std::string folder) : folder_(std::move(folder)), thread_([this] { run(); }) {}

MpsUser::~MpsUser() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
  keeper_.reset();  // else it would start them again
  for (const std::string& uuid : started_) stop(uuid);
}

void MpsUser::want(const std::string& uuid) {
  const std::lock_guard lock(mutex_);
  if (retry_us_.contains(uuid) && monotonic_us() < retry_us_[uuid]) return;
  wanted_.insert(uuid);
  changed_.notify_all();
}

// One that ended before somebody saw it keeps its settings.
Status MpsUser::start_on(const std::string& uuid) {
  SHEAF_ASSIGN(const auto kept, find_mps(folder_, uuid));
  MpsRequest request{.verb = MpsRequest::Verb::start, .places = {uuid}};
  if (kept) request.settings = kept->settings;
  SHEAF_ASSIGN(const MpsReport report, request_mps(folder_, request));
  for (const MpsView& view : report.daemons)
    log(LogLevel::info, "MPS of {} was started, process {}", view.daemon.text,
        view.daemon.process.pid);
  const std::lock_guard lock(mutex_);
  started_.insert(uuid);
  return {};
}

void MpsUser::keep() {
  if (helper_listens(folder_)) return;
  const auto journal = MigJournal::open(folder_, kUserLockWaitMs, std::string(kUserName));
  if (journal.ok())
    keeper_ = std::make_unique<MpsKeeper>(
        MpsKeeperOptions{.folder = folder_, .who = std::string(kUserName)});
  else
    log(LogLevel::warn, "nobody watches the MPS daemons: {}", journal.error().message);
}

// ---- what is wanted later

void MpsUser::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || !wanted_.empty(); });
    if (stopping_) return;
    const std::string uuid = *wanted_.begin();
    lock.unlock();
    start_wanted(uuid);
    lock.lock();
    wanted_.erase(uuid);
  }
}

// One that is kept is its keeper's to start again, who tells what befell its clients.
void MpsUser::start_wanted(const std::string& uuid) {
  const auto kept = find_mps(folder_, uuid);
  Status started = kept.ok() ? Status() : Status(kept.error());
  if (kept.ok() && !*kept) started = start_on(uuid);
  if (started.ok()) return;
  log(LogLevel::error, "MPS of {} does not start: {}", uuid, started.error().message);
  const std::lock_guard lock(mutex_);
  retry_us_[uuid] = monotonic_us() + kStartRetryUs;
}

void MpsUser::stop(const std::string& uuid) const {
  const TimeUs until = monotonic_us() + kClientsLeaveUs;
  const MpsRequest request{.verb = MpsRequest::Verb::stop, .places = {uuid}};
  auto stopped = request_mps(folder_, request);
  while (!stopped.ok() && stopped.error().code == ErrorCode::unavailable &&
         monotonic_us() < until) {
    std::this_thread::sleep_for(kClientsStep);
    stopped = request_mps(folder_, request);
  }
  if (!stopped.ok() && stopped.error().code != ErrorCode::not_found)
    log(LogLevel::warn, "MPS stays: {}", stopped.error().message);
}

}  // namespace sheaf::slices
