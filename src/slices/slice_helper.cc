#include "slices/slice_helper.h"

#include <fmt/format.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "base/log.h"
#include "slices/helper_socket.h"
#include "slices/lease_request.h"
#include "slices/mps_keeper.h"
#include "slices/mps_request.h"

namespace sheaf::slices {
namespace {

constexpr int kClientMs = 5000;
constexpr int kLockWaitMs = 60'000;  // a change takes seconds; another's may come first
constexpr int kAnswerMs = 300'000;   // that a client waits for: instances take a second each

std::string user_name(uid_t user) {
  const passwd* entry = getpwuid(user);
  return entry == nullptr ? std::to_string(user) : entry->pw_name;
}

bool in_group(uid_t user, gid_t first, const std::vector<gid_t>& allowed) {
  const passwd* entry = getpwuid(user);
  std::vector<gid_t> groups(64);
  auto count = static_cast<int>(groups.size());
  if (entry == nullptr || getgrouplist(entry->pw_name, first, groups.data(), &count) < 0)
    groups = {first};
  else
    groups.resize(static_cast<std::size_t>(count));
  return std::ranges::any_of(
      groups, [&](gid_t group) { return std::ranges::find(allowed, group) != allowed.end(); });
}

Result<ucred> peer_of(int connection) {
  ucred peer = {};
  socklen_t size = sizeof peer;
  if (getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
    return errno_error("the helper's socket", errno);
  return peer;
}

Status check_peer(const ucred& peer, const HelperOptions& options) {
  if (peer.uid == 0 || peer.uid == geteuid() ||
      std::ranges::find(options.users, peer.uid) != options.users.end() ||
      in_group(peer.uid, peer.gid, options.groups))
    return {};
  return Error{ErrorCode::permission_denied,
               fmt::format("user {} may not change slices here; `sheaf slices daemon` takes "
                           "--allow-user and --allow-group",
                           user_name(peer.uid))};
}

Result<ChangeReport> change_here(const std::string& folder, const MigRequest& request, int wait_ms,
                                 const std::string& who) {
  SHEAF_ASSIGN(const Nvml nvml, Nvml::open());
  SHEAF_ASSIGN(MigJournal journal, MigJournal::open(folder, wait_ms, who));
  return carry_out(nvml, journal, request);
}

std::string to_text(const ChangeReport& report) {
  const nlohmann::json json = {{"steps", report.steps}, {"owed", report.owed}};
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Result<ChangeReport> parse_report(const std::string& line) {
  try {
    const auto json = nlohmann::json::parse(line);
    ChangeReport report;
    json.at("steps").get_to(report.steps);
    json.at("owed").get_to(report.owed);
    return report;
  } catch (const nlohmann::json::exception& thrown) {
    return Error{ErrorCode::corrupt, fmt::format("the helper's answer: {}", thrown.what())};
  }
}

// What a request was answered with, and how the log tells it.
struct Answer {
  std::string line, asked, done;
  bool ok = true;
  bool quiet = false;  // too frequent for the log
};

Answer refusal(const std::string& asked, const Error& error) {
  return {error_line(error), asked, error.message, false};
}

Answer answer_change(const std::string& folder, const std::string& line, uid_t user,
                     const std::string& who) {
  auto request = parse_request(line);
  if (!request.ok()) return refusal("something unreadable", request.error());
  request->leases = own_leases(folder, request->leases, user);
  const int wait_ms = std::clamp(request->wait_ms, 0, kLockWaitMs);
  const auto report = change_here(folder, *request, wait_ms, "sheaf slices daemon, for " + who);
  if (!report.ok()) return refusal(describe(*request), report.error());
  return {to_text(*report), describe(*request), fmt::format("{} steps", report->steps.size())};
}

Answer answer_lease(const std::string& folder, const std::string& line, const ucred& peer) {
  const auto request = parse_lease_request(line);
  if (!request.ok()) return refusal("an unreadable lease", request.error());
  auto journal = MigJournal::open(folder, kLockWaitMs, "sheaf slices daemon, for a lease");
  if (!journal.ok()) return refusal("a lease", journal.error());
  const auto answer = carry_out_lease(*journal, *request, {peer.uid, peer.pid});
  if (!answer.ok()) return refusal("a lease", answer.error());
  for (const std::string& ended : answer->ended) write_log(LogLevel::info, "ended: " + ended);
  const bool acquired = request->verb == LeaseRequest::Verb::acquire && answer->lease;
  const bool released = request->verb == LeaseRequest::Verb::release;
  return {to_text(*answer), acquired ? "acquire a lease" : "release a lease",
          answer->lease ? fmt::format("{} of {}", answer->lease->id, answer->lease->slice.text)
                        : "nothing yet",
          true, !acquired && !released};
}

Answer answer_mps(const std::string& folder, const std::string& line) {
  const auto request = parse_mps_request(line);
  if (!request.ok()) return refusal("an unreadable change of MPS", request.error());
  const auto report = carry_out_mps(folder, *request);
  if (!report.ok()) return refusal("MPS", report.error());
  return {to_text(*report), request->verb == MpsRequest::Verb::start ? "start MPS" : "stop MPS",
          fmt::format("{} daemons", report->daemons.size()), true,
          request->verb == MpsRequest::Verb::list};
}

// "lease", "mps"; empty: a change of partitions.
std::string subject_of(const std::string& line) {
  const auto json = nlohmann::json::parse(line, nullptr, false);
  return json.is_object() && json.contains("about") && json["about"].is_string()
             ? json["about"].get<std::string>()
             : "";
}

Answer answer_to(const std::string& line, const HelperOptions& options, const ucred& peer,
                 const std::string& who) {
  const std::string subject = subject_of(line);
  if (subject == "lease") return answer_lease(options.folder, line, peer);
  if (subject == "mps") return answer_mps(options.folder, line);
  return answer_change(options.folder, line, peer.uid, who);
}

// What a helper that was cut off left behind. Without NVML there is nothing to put back yet.
Status recover(const std::string& folder) {
  const auto nvml = Nvml::open();
  if (!nvml.ok()) {
    write_log(LogLevel::warn, nvml.error().message);
    return {};
  }
  SHEAF_ASSIGN(MigJournal journal, MigJournal::open(folder, kLockWaitMs, "sheaf slices daemon"));
  SHEAF_ASSIGN(const auto undone, undo_unfinished(*nvml, journal));
  if (undone) write_log(LogLevel::warn, *undone);
  return {};
}

}  // namespace

Result<SliceHelper> SliceHelper::start(const HelperOptions& options) {
  if (mkdir(options.folder.c_str(), 0755) != 0 && errno != EEXIST)
    return errno_error(options.folder, errno);
  SHEAF_ASSIGN(Fd listener, listen_as_helper(options.folder));
  if (const Status recovered = recover(options.folder); !recovered.ok())
    write_log(LogLevel::error, recovered.error().message);
  return SliceHelper(options, std::move(listener));
}

SliceHelper::~SliceHelper() {
  if (listener_) forget_helper(options_.folder);
}

Status SliceHelper::serve(int stop_fd) {
  const MpsKeeper keeper({.folder = options_.folder});
  while (true) {
    pollfd ends[2] = {{listener_.get(), POLLIN, 0}, {stop_fd, POLLIN, 0}};
    if (poll(ends, 2, -1) < 0) {
      if (errno == EINTR) continue;
      return errno_error("poll", errno);
    }
    if (ends[1].revents != 0) return {};
    Fd connection(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (connection) serve_one(std::move(connection));
  }
}

void SliceHelper::serve_one(Fd connection) {
  const auto peer = peer_of(connection.get());
  if (!peer.ok()) return;
  // Before anything is read, so that nobody else takes our time.
  if (const Status allowed = check_peer(*peer, options_); !allowed.ok()) {
    write_log(LogLevel::warn, fmt::format("process {}: {}", peer->pid, allowed.error().message));
    (void)write_line(connection.get(), error_line(allowed.error()));
    return;
  }
  const auto line = read_line(connection.get(), kClientMs);
  if (!line) return;
  const std::string who = fmt::format("{} (process {})", user_name(peer->uid), peer->pid);
  const Answer answer = answer_to(*line, options_, *peer, who);
  if (!answer.quiet)
    write_log(answer.ok ? LogLevel::info : LogLevel::warn,
              fmt::format("{} asked: {}: {}", who, answer.asked, answer.done));
  // A client that is gone by now finds the change made all the same.
  (void)write_line(connection.get(), answer.line);
}

Result<ChangeReport> request_change(const std::string& folder, const MigRequest& request,
                                    int wait_ms, const std::string& who) {
  MigRequest patient = request;
  patient.wait_ms = wait_ms;
  SHEAF_ASSIGN(const auto answer, ask_helper(folder, to_text(patient), kAnswerMs));
  if (!answer) return change_here(folder, request, wait_ms, who);
  return parse_report(*answer);
}

}  // namespace sheaf::slices
