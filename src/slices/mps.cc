#include "slices/mps.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "base/clock.h"
#include "base/text.h"
#include "slices/durable_file.h"
#include "slices/mps_json.h"

namespace sheaf::slices {
namespace {

namespace fs = std::filesystem;

constexpr int kMpsAnswerMs = 3000;
constexpr int kMpsStartMs = 10'000;
constexpr int kMpsStopMs = 10'000;
constexpr int kMpsKillMs = 2000;
constexpr int kMpsStepMs = 20;
constexpr std::string_view kProbe = "get_default_active_thread_percentage";

void step() {
  const timespec time{0, kMpsStepMs * 1'000'000L};
  nanosleep(&time, nullptr);
}

Status make_folders(const MpsFolders& folders) {
  std::error_code failed;
  fs::remove_all(folders.pipe, failed);  // of one that is gone
  for (const std::string& folder : {folders.pipe, folders.log}) {
    fs::create_directories(folder, failed);
    if (failed) return errno_error(folder, failed.value());
  }
  return {};
}

Status keep(const MpsFolders& folders, const MpsDaemon& daemon) {
  return replace_file(folders.state, nlohmann::json(daemon).dump() + "\n");
}

Result<MpsDaemon> read_kept(const std::string& path) {
  try {
    return nlohmann::json::parse(content_of(path)).get<MpsDaemon>();
  } catch (const nlohmann::json::exception& thrown) {
    return Error{ErrorCode::corrupt,
                 fmt::format("{} cannot be read ({}): end the MPS daemon of that folder, then "
                             "remove it",
                             path, thrown.what())};
  }
}

Result<MpsDaemon> kept_or_error(const std::string& folder, const std::string& uuid) {
  SHEAF_ASSIGN(const auto daemon, find_mps(folder, uuid));
  if (!daemon) return Error{ErrorCode::not_found, fmt::format("MPS was not started on {}", uuid)};
  return *daemon;
}

Status put_settings(const MpsControl& control, const MpsFolders& folders,
                    const MpsSettings& settings) {
  SHEAF_TRY(control.ask(
      folders, fmt::format("set_default_active_thread_percentage {}", settings.thread_percentage),
      kMpsAnswerMs));
  SHEAF_ASSIGN(const std::string taken, control.ask(folders, std::string(kProbe), kMpsAnswerMs));
  const double percentage = std::strtod(taken.c_str(), nullptr);
  if (std::abs(percentage - settings.thread_percentage) > 0.5)
    return Error{ErrorCode::io,
                 fmt::format("the MPS daemon at {} was told {} % of threads and "
                             "says '{}'",
                             folders.pipe, settings.thread_percentage, excerpt(taken))};
  if (settings.memory_limit_bytes == 0) return {};
  // By number, which is always the first: it sees no other device, and UUIDs had no effect.
  SHEAF_TRY(control.ask(folders,
                        fmt::format("set_default_device_pinned_mem_limit 0 {}",
                                    mps_memory_text(settings.memory_limit_bytes)),
                        kMpsAnswerMs));
  return {};
}

std::string last_words(const MpsFolders& folders) {
  const std::string text = content_of(folders.log + "/daemon.log");
  return text.empty() ? "it said nothing" : excerpt(text, 300);
}

// Until it answers.
Status wait_for_start(const MpsControl& control, const MpsFolders& folders,
                      const ProcessIdentity& process) {
  const TimeUs until = monotonic_us() + TimeUs(kMpsStartMs) * 1000;
  while (true) {
    const auto answer = control.ask(folders, std::string(kProbe), kMpsAnswerMs);
    if (answer.ok()) return {};
    if (!is_alive(process))
      return Error{ErrorCode::io, "the MPS daemon ended at its start: " + last_words(folders)};
    if (monotonic_us() >= until) return answer.error();
    step();
  }
}

Result<ProcessIdentity> launch(const MpsControl& control, const MpsFolders& folders,
                               const std::string& uuid, const MpsSettings& settings) {
  SHEAF_TRY(make_folders(folders));
  SHEAF_ASSIGN(const pid_t pid, control.start(folders, uuid));
  const auto process = identify(pid);
  if (!process.ok())
    return Error{ErrorCode::io, "the MPS daemon ended at its start: " + last_words(folders)};
  Status ready = wait_for_start(control, folders, *process);
  if (ready.ok()) ready = put_settings(control, folders, settings);
  if (ready.ok()) return *process;
  (void)end_process(*process, kMpsKillMs);
  return ready.error();
}

Status check_settings(const MpsSettings& settings) {
  if (settings.thread_percentage >= 1 && settings.thread_percentage <= 100) return {};
  return Error{
      ErrorCode::invalid_argument,
      fmt::format("{} % of threads are not to be had; 1 to 100 are", settings.thread_percentage)};
}

std::vector<pid_t> pids_in(const std::string& text) {
  std::vector<pid_t> pids;
  std::istringstream words(text);
  for (pid_t pid = 0; words >> pid;) pids.push_back(pid);
  return pids;
}

Status refuse_clients(const std::vector<MpsServer>& servers, const MpsDaemon& daemon) {
  std::vector<pid_t> clients;
  for (const MpsServer& server : servers)
    clients.insert(clients.end(), server.clients.begin(), server.clients.end());
  if (clients.empty()) return {};
  return Error{
      ErrorCode::unavailable,
      fmt::format("MPS of {} has clients: processes {}; stop them first, or --force, which "
                  "ends their work",
                  daemon.text, fmt::join(clients, ", "))};
}

// Asked to, then made to.
void end_daemon(const MpsControl& control, const MpsFolders& folders, const MpsDaemon& daemon) {
  (void)control.ask(folders, "quit", kMpsAnswerMs);
  const TimeUs until = monotonic_us() + TimeUs(kMpsStopMs) * 1000;
  while (is_alive(daemon.process) && monotonic_us() < until) step();
  (void)end_process(daemon.process, kMpsKillMs);
}

}  // namespace

Result<MpsDaemon> start_mps(MigJournal& journal, const std::string& uuid, const std::string& text,
                            const MpsSettings& settings) {
  SHEAF_TRY(check_settings(settings));
  SHEAF_ASSIGN(const MpsControl control, MpsControl::find());
  const MpsFolders folders(journal.folder(), uuid);
  SHEAF_ASSIGN(const auto kept, find_mps(journal.folder(), uuid));
  MpsDaemon daemon = kept ? *kept : MpsDaemon{uuid, text};
  if (is_alive(daemon.process)) {
    SHEAF_TRY(put_settings(control, folders, settings));
  } else {
    SHEAF_ASSIGN(daemon.process, launch(control, folders, uuid, settings));
    ++daemon.generation;
  }
  daemon.settings = settings;
  if (const Status saved = keep(folders, daemon); !saved.ok()) {
    (void)end_process(daemon.process, kMpsKillMs);  // nobody would know of it
    return saved.error();
  }
  return daemon;
}

Status stop_mps(MigJournal& journal, const std::string& uuid, bool force) {
  const MpsFolders folders(journal.folder(), uuid);
  SHEAF_ASSIGN(const MpsDaemon daemon, kept_or_error(journal.folder(), uuid));
  if (is_alive(daemon.process)) {
    SHEAF_ASSIGN(const MpsControl control, MpsControl::find());
    const auto servers = mps_servers(control, folders, kMpsAnswerMs);
    if (!force) SHEAF_TRY(servers.ok() ? refuse_clients(*servers, daemon) : servers.error());
    end_daemon(control, folders, daemon);
    if (servers.ok())
      for (const MpsServer& server : *servers)
        if (const auto process = identify(server.pid); process.ok())
          (void)end_process(*process, kMpsKillMs);
  }
  std::error_code failed;
  fs::remove_all(folders.base, failed);
  if (failed) return errno_error(folders.base, failed.value());
  return {};
}

Result<MpsDaemon> revive_mps(MigJournal& journal, const MpsDaemon& gone, const std::string& what) {
  SHEAF_ASSIGN(MpsDaemon daemon, kept_or_error(journal.folder(), gone.uuid));
  if (!(daemon.process == gone.process) || is_alive(daemon.process)) return daemon;
  for (const ProcessIdentity& server : daemon.servers)
    (void)end_process(server, kMpsKillMs);  // they serve nobody
  SHEAF_ASSIGN(const MpsControl control, MpsControl::find());
  SHEAF_ASSIGN(daemon.process, launch(control, MpsFolders(journal.folder(), daemon.uuid),
                                      daemon.uuid, daemon.settings));
  ++daemon.generation;
  daemon.last = {what, unix_seconds(), std::exchange(daemon.clients, {})};
  daemon.servers.clear();
  SHEAF_TRY(keep(MpsFolders(journal.folder(), daemon.uuid), daemon));
  return daemon;
}

Status note_mps(MigJournal& journal, const MpsDaemon& seen) {
  SHEAF_ASSIGN(const auto kept, find_mps(journal.folder(), seen.uuid));
  if (!kept || !(kept->process == seen.process)) return {};
  MpsDaemon daemon = seen;
  daemon.settings = kept->settings;  // which may have changed meanwhile
  return keep(MpsFolders(journal.folder(), seen.uuid), daemon);
}

Result<std::optional<MpsDaemon>> find_mps(const std::string& folder, const std::string& uuid) {
  const MpsFolders folders(folder, uuid);
  if (!fs::exists(folders.state)) return std::optional<MpsDaemon>();
  SHEAF_ASSIGN(MpsDaemon daemon, read_kept(folders.state));
  return std::optional(std::move(daemon));
}

Result<std::vector<MpsDaemon>> kept_mps(const std::string& folder) {
  std::vector<MpsDaemon> daemons;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder + "/mps", none)) {
    const std::string path = entry.path() / "state";
    if (!fs::exists(path)) continue;  // it did not come to run
    SHEAF_ASSIGN(MpsDaemon daemon, read_kept(path));
    daemons.push_back(std::move(daemon));
  }
  std::ranges::sort(daemons, {}, &MpsDaemon::text);
  return daemons;
}

Result<std::vector<MpsServer>> mps_servers(const MpsControl& control, const MpsFolders& folders,
                                           int timeout_ms) {
  SHEAF_ASSIGN(const std::string list, control.ask(folders, "get_server_list", timeout_ms));
  std::vector<MpsServer> servers;
  for (const pid_t pid : pids_in(list)) {
    MpsServer server{pid};
    SHEAF_ASSIGN(server.status,
                 control.ask(folders, fmt::format("get_server_status {}", pid), timeout_ms));
    SHEAF_ASSIGN(const std::string clients,
                 control.ask(folders, fmt::format("get_client_list {}", pid), timeout_ms));
    server.clients = pids_in(clients);
    servers.push_back(std::move(server));
  }
  return servers;
}

MpsView look_at_mps(const std::string& folder, const MpsDaemon& daemon, int timeout_ms) {
  MpsView view{daemon, "gone"};
  const auto control = MpsControl::find();
  if (!control.ok() || !is_alive(daemon.process)) return view;
  auto servers = mps_servers(*control, MpsFolders(folder, daemon.uuid), timeout_ms);
  view.state = servers.ok() ? "running" : "silent";
  if (servers.ok()) view.servers = std::move(*servers);
  return view;
}

Status refuse_mps(const std::string& folder, const std::vector<std::string>& uuids) {
  SHEAF_ASSIGN(const auto daemons, kept_mps(folder));
  for (const MpsDaemon& daemon : daemons)
    if (std::ranges::find(uuids, daemon.uuid) != uuids.end())
      return Error{ErrorCode::unavailable,
                   fmt::format("MPS runs on {}: `sheaf slices mps stop --gpu {}` first",
                               daemon.text, daemon.uuid)};
  return {};
}

std::string mps_memory_text(std::uint64_t bytes) {
  const std::uint64_t mib = std::max<std::uint64_t>(bytes >> 20, 1);
  return mib % 1024 == 0 ? fmt::format("{}G", mib / 1024) : fmt::format("{}M", mib);
}

std::vector<std::string> mps_client_environment(const std::string& folder, const std::string& uuid,
                                                unsigned thread_percentage,
                                                std::uint64_t memory_limit_bytes) {
  std::vector<std::string> list = {
      "CUDA_MPS_PIPE_DIRECTORY=" + MpsFolders(folder, uuid).pipe, "CUDA_VISIBLE_DEVICES=" + uuid,
      fmt::format("CUDA_MPS_ACTIVE_THREAD_PERCENTAGE={}", thread_percentage)};
  if (memory_limit_bytes > 0)
    list.push_back("CUDA_MPS_PINNED_DEVICE_MEM_LIMIT=0=" + mps_memory_text(memory_limit_bytes));
  return list;
}

}  // namespace sheaf::slices
