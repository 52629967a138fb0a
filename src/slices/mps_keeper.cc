#include "slices/mps_keeper.h"

#include <fmt/format.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/log.h"

namespace sheaf::slices {
namespace {

constexpr int kKeeperLockWaitMs = 5000;

// Of a child of ours that has ended; it would stay a zombie.
void reap(const ProcessIdentity& process) {
  if (process.pid > 0) (void)waitpid(process.pid, nullptr, WNOHANG);
}

std::string clients_text(const std::vector<pid_t>& clients) {
  return clients.empty()
             ? "it had no clients"
             : fmt::format("its clients must start again: processes {}", fmt::join(clients, ", "));
}

}  // namespace

MpsKeeper::MpsKeeper(MpsKeeperOptions options)
    : options_(std::move(options)), thread_([this] { run(); }) {}

MpsKeeper::~MpsKeeper() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stop_.notify_all();
  thread_.join();
}

void MpsKeeper::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    look_at_all();
    lock.lock();
    stop_.wait_for(lock, std::chrono::milliseconds(options_.interval_ms),
                   [this] { return stopping_; });
  }
}

void MpsKeeper::look_at_all() {
  const auto daemons = kept_mps(options_.folder);
  if (!daemons.ok()) return write_log(LogLevel::error, daemons.error().message);
  std::erase_if(watches_, [&](const auto& entry) {
    return std::ranges::find(*daemons, entry.first, &MpsDaemon::uuid) == daemons->end();
  });
  for (const MpsDaemon& daemon : *daemons) look_at(daemon, watches_[daemon.uuid]);
}

void MpsKeeper::look_at(const MpsDaemon& daemon, Watch& watch) {
  if (!is_alive(daemon.process)) return start_again(daemon, "ended", watch);
  const auto control = MpsControl::find();
  if (!control.ok()) return write_log(LogLevel::error, control.error().message);
  const auto servers =
      mps_servers(*control, MpsFolders(options_.folder, daemon.uuid), options_.answer_ms);
  if (servers.ok()) return take(daemon, *servers, watch);
  if (++watch.silences < options_.silences_max) return;
  log(LogLevel::warn, "MPS of {}: {}; it is killed", daemon.text, servers.error().message);
  // Else it is killed again at the next look.
  if (end_process(daemon.process, options_.answer_ms)) start_again(daemon, "hung", watch);
}

void MpsKeeper::take(const MpsDaemon& daemon, const std::vector<MpsServer>& servers, Watch& watch) {
  watch.silences = 0;
  watch.retry_ms = 0;
  MpsDaemon seen = daemon;
  seen.servers.clear();
  seen.clients.clear();
  MpsEvent fault{.what = "fault", .at_unix_s = unix_seconds()};
  bool faulted = false;
  for (const MpsServer& server : servers) {
    if (const auto process = identify(server.pid); process.ok()) seen.servers.push_back(*process);
    seen.clients.insert(seen.clients.end(), server.clients.begin(), server.clients.end());
    if (server.status != "FAULT") continue;
    faulted = true;
    fault.clients.insert(fault.clients.end(), server.clients.begin(), server.clients.end());
  }
  const bool new_fault = faulted && !watch.faulted;
  if (new_fault) {
    log(LogLevel::warn, "MPS of {}: a client's fault stopped a server; {}", daemon.text,
        clients_text(fault.clients));
    seen.last = fault;
  }
  if (new_fault || seen.servers != daemon.servers || seen.clients != daemon.clients) {
    auto journal = MigJournal::open(options_.folder, kKeeperLockWaitMs, options_.who);
    const Status noted = journal.ok() ? note_mps(*journal, seen) : Status(journal.error());
    if (!noted.ok()) return write_log(LogLevel::error, noted.error().message);  // at the next look
  }
  watch.faulted = faulted;
}

void MpsKeeper::start_again(const MpsDaemon& daemon, const std::string& what, Watch& watch) {
  reap(daemon.process);
  if (monotonic_us() < watch.retry_us) return;
  auto journal = MigJournal::open(options_.folder, kKeeperLockWaitMs, options_.who);
  const auto revived =
      journal.ok() ? revive_mps(*journal, daemon, what) : Result<MpsDaemon>(journal.error());
  if (revived.ok()) {
    log(LogLevel::warn, "MPS of {} {} and was started again; {}", daemon.text, what,
        clients_text(revived->last.clients));
    watch = {};
    return;
  }
  watch.retry_ms = std::clamp(watch.retry_ms * 2, options_.interval_ms, options_.retry_max_ms);
  watch.retry_us = monotonic_us() + TimeUs(watch.retry_ms) * 1000;
  log(LogLevel::error, "MPS of {} {} and does not start: {}", daemon.text, what,
      revived.error().message);
}

}  // namespace sheaf::slices
