#include "slices/lease_request.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <nlohmann/json.hpp>
#include <random>
#include <string_view>
#include <utility>

#include "slices/helper_socket.h"
#include "slices/lease_choice.h"
#include "slices/lease_json.h"
#include "slices/lease_table.h"
#include "slices/mig_change.h"

namespace sheaf::slices {
namespace {

using LeaseVerb = LeaseRequest::Verb;

constexpr std::array<std::string_view, 4> kLeaseVerbs{"acquire", "renew", "release", "leave"};
constexpr std::size_t kTaskBytesMax = 200;
constexpr std::size_t kLeasesMax = 4096, kWaitingMax = 1024;
constexpr int kTableLockWaitMs = 10'000;  // a change of partitions takes seconds
constexpr int kTableAnswerMs = 30'000;
constexpr int kLookAgainMs = 20;
constexpr std::int64_t kTicketGraceMs = 2000;  // beyond the wait: the last look comes late

std::string fresh_id(std::string_view prefix) {
  std::random_device device;
  return fmt::format("{}-{:08x}{:08x}", prefix, device(), device());
}

Error not_right(std::string message) { return {ErrorCode::invalid_argument, std::move(message)}; }

Status check_times(const LeaseRequest& request) {
  if (request.ttl_ms && (*request.ttl_ms < kLeaseTtlMinMs || *request.ttl_ms > kLeaseTtlMaxMs))
    return not_right(fmt::format("a lease of {} ms is not given; from {} to {} ms are",
                                 *request.ttl_ms, kLeaseTtlMinMs, kLeaseTtlMaxMs));
  if (request.wait_ms < 0 || request.wait_ms > kLeaseWaitMaxMs)
    return not_right(fmt::format("nobody waits for {} ms; up to {} are possible", request.wait_ms,
                                 kLeaseWaitMaxMs));
  return {};
}

Status check_task(const std::string& task_id) {
  const bool printable = std::ranges::all_of(
      task_id, [](char c) { return static_cast<unsigned char>(c) >= ' ' && c != 127; });
  if (task_id.size() <= kTaskBytesMax && printable) return {};
  return not_right(fmt::format("a task id has at most {} bytes, none of them a control character",
                               kTaskBytesMax));
}

bool may_touch(const LeaseOwner& owner, const LeaseRequest& request, const LeaseAsker& asker) {
  if (asker.user == 0 && request.tenant.empty()) return true;
  return owner == LeaseOwner{asker.user, request.tenant};
}

// The holder is watched from here, so it must be seen from here, and be the asker's own.
Result<ProcessIdentity> holder_of(const LeaseRequest& request, const LeaseAsker& asker) {
  if (request.holder == LeaseRequest::kNobody) return ProcessIdentity();
  const pid_t pid = request.holder == LeaseRequest::kAsker ? asker.pid : request.holder;
  if (pid <= 0)
    return not_right(
        "the process that asks is not seen from here, as it is in another container: "
        "ask for a lease by time alone, without a holder");
  struct stat facts = {};
  if (stat(fmt::format("/proc/{}", pid).c_str(), &facts) == 0 && asker.user != 0 &&
      facts.st_uid != asker.user)
    return Error{ErrorCode::permission_denied,
                 fmt::format("process {} is another user's and cannot hold this lease", pid)};
  return identify(pid);
}

// Everything that choice looks at; cards only where somebody needs one.
Result<LeaseGround> survey(MigJournal& journal, const LeaseRequest& request, const LeaseNeed& need,
                           const LeaseTable& table) {
  LeaseGround ground;
  SHEAF_ASSIGN(ground.machine, detect_machine());
  if (!request.cpus.empty())
    std::erase_if(ground.machine.cores, [&](const Core& core) {
      return std::ranges::find(request.cpus, core.cpu) == request.cpus.end();
    });
  const bool wanted =
      needs_gpus(need) || std::ranges::any_of(table.waiting, [](const LeaseTicket& ticket) {
        return needs_gpus(ticket.need);
      });
  if (!wanted) return ground;
  const auto nvml = Nvml::open();
  if (!nvml.ok()) {
    if (needs_gpus(need)) return nvml.error();
    return ground;
  }
  SHEAF_ASSIGN(const auto undone, undo_unfinished(*nvml, journal));
  const char* visible = request.visible_devices ? request.visible_devices->c_str() : nullptr;
  SHEAF_ASSIGN(GpuInventory inventory, read_gpus(*nvml, visible));
  ground.gpus = std::move(inventory.gpus);
  return ground;
}

// The machine's table while its lock is held; written only where it changed.
class LeaseDesk {
 public:
  LeaseDesk(MigJournal& journal, const LeaseRequest& request, const LeaseAsker& asker)
      : journal_(journal), request_(request), asker_(asker) {}

  Result<LeaseAnswer> run() {
    SHEAF_TRY(check_times(request_));
    SHEAF_ASSIGN(table_, read_lease_table(journal_.folder()));
    const std::size_t waiting = table_.waiting.size();
    answer_.ended = table_.drop_ended();
    changed_ = !answer_.ended.empty() || table_.waiting.size() != waiting;
    const Status done = carry_out();
    // What has ended is written also where the rest is refused.
    if (changed_) SHEAF_TRY(write_lease_table(journal_.folder(), table_));
    if (!done.ok()) return done.error();
    return std::move(answer_);
  }

 private:
  Status carry_out() {
    switch (request_.verb) {
      case LeaseVerb::acquire:
        return acquire();
      case LeaseVerb::renew:
        return renew();
      case LeaseVerb::release:
        return release();
      case LeaseVerb::leave:
        leave();
        return {};
    }
    return {};
  }

  Status acquire() {
    SHEAF_TRY(check_task(request_.task_id));
    SHEAF_ASSIGN(const LeaseNeed need, checked(request_.need));
    if (Lease* same = lease_of_task()) return give_again(*same, need);
    SHEAF_ASSIGN(const ProcessIdentity holder, holder_of(request_, asker_));
    SHEAF_ASSIGN(const LeaseGround ground, survey(journal_, request_, need, table_));
    const auto place = find_ticket();
    const auto before = static_cast<std::size_t>(place - table_.waiting.begin());
    const auto choice = choose_slice(need, ground, table_, before);
    if (!choice.ok()) {
      leave();
      return choice.error();
    }
    if (!choice->slice) return wait_for(need, *choice);
    if (table_.leases.size() >= kLeasesMax)
      return Error{ErrorCode::overloaded,
                   fmt::format("{} leases are given out, and no more are kept", kLeasesMax)};
    leave();
    const std::int64_t ttl_ms = request_.ttl_ms.value_or(kLeaseTtlDefaultMs);
    table_.leases.push_back({fresh_id("lease"), request_.task_id, need, *choice->slice,
                             LeaseOwner{asker_.user, request_.tenant}, holder, ttl_ms,
                             boot_ms() + ttl_ms, request_.drainable});
    answer_.lease = table_.leases.back();
    changed_ = true;
    return {};
  }

  Lease* lease_of_task() {
    if (request_.task_id.empty()) return nullptr;
    const LeaseOwner owner{asker_.user, request_.tenant};
    const auto found = std::ranges::find_if(table_.leases, [&](const Lease& lease) {
      return lease.task_id == request_.task_id && lease.owner == owner;
    });
    return found == table_.leases.end() ? nullptr : &*found;
  }

  Status give_again(Lease& lease, const LeaseNeed& need) {
    if (!(lease.need == need))
      return not_right(fmt::format(
          "task {} has {} already, for which it asked as {}; release {} "
          "before asking for {}",
          lease.task_id, lease.slice.text, describe(lease.need), lease.id, describe(need)));
    SHEAF_TRY(hand_over(lease));
    leave();
    return extend(lease);
  }

  // A task runs once: with whose end its lease ends is said once.
  Status hand_over(Lease& lease) {
    if (request_.holder == LeaseRequest::kNobody) return {};
    SHEAF_ASSIGN(const ProcessIdentity holder, holder_of(request_, asker_));
    if (lease.holder.pid != 0 && !(lease.holder == holder))
      return Error{ErrorCode::unavailable,
                   fmt::format("task {} runs already: {} is {}", lease.task_id, lease.slice.text,
                               describe(lease))};
    lease.holder = holder;
    return {};
  }

  Status extend(Lease& lease) {
    lease.ttl_ms = request_.ttl_ms.value_or(lease.ttl_ms);
    lease.ends_ms = boot_ms() + lease.ttl_ms;
    answer_.lease = lease;
    changed_ = true;
    return {};
  }

  std::vector<LeaseTicket>::iterator find_ticket() {
    return std::ranges::find_if(table_.waiting, [&](const LeaseTicket& ticket) {
      return !request_.ticket.empty() && ticket.id == request_.ticket;
    });
  }

  Status wait_for(const LeaseNeed& need, const LeaseChoice& choice) {
    if (request_.wait_ms == 0)
      return Error{ErrorCode::unavailable,
                   fmt::format("{} not free: {}", describe(need), choice.why_none)};
    answer_.why = choice.why_none;
    answer_.ticket = request_.ticket;
    if (const auto ticket = find_ticket(); ticket != table_.waiting.end()) {
      // Once a lease was asked to go, its slice is waited for until it has.
      if (request_.drain && !choice.drainable.empty() && ticket->drains != choice.drainable) {
        ticket->drains = choice.drainable;
        changed_ = true;
      }
      return {};
    }
    if (table_.waiting.size() >= kWaitingMax)
      return Error{ErrorCode::overloaded,
                   fmt::format("{} wait for slices, and no more may", kWaitingMax)};
    answer_.ticket = fresh_id("ticket");
    const auto waiter = identify(asker_.pid);
    table_.waiting.push_back({answer_.ticket, need, LeaseOwner{asker_.user, request_.tenant},
                              waiter.ok() ? *waiter : ProcessIdentity(),
                              boot_ms() + request_.wait_ms + kTicketGraceMs,
                              request_.drain ? choice.drainable : std::vector<std::string>()});
    changed_ = true;
    return {};
  }

  void leave() {
    const auto place = find_ticket();
    if (place == table_.waiting.end() || !may_touch(place->owner, request_, asker_)) return;
    table_.waiting.erase(place);
    changed_ = true;
  }

  Result<std::vector<Lease>::iterator> named() {
    const auto found = std::ranges::find(table_.leases, request_.lease, &Lease::id);
    if (found == table_.leases.end())
      return Error{ErrorCode::not_found,
                   fmt::format("there is no lease {}: it has ended, or never was", request_.lease)};
    if (!may_touch(found->owner, request_, asker_))
      return Error{ErrorCode::permission_denied,
                   fmt::format("lease {} is another's", request_.lease)};
    return found;
  }

  Status renew() {
    SHEAF_ASSIGN(const auto lease, named());
    return extend(*lease);
  }

  Status release() {
    SHEAF_ASSIGN(const auto lease, named());
    answer_.lease = *lease;
    table_.leases.erase(lease);
    changed_ = true;
    return {};
  }

  MigJournal& journal_;
  const LeaseRequest& request_;
  const LeaseAsker& asker_;
  LeaseTable table_;
  LeaseAnswer answer_;
  bool changed_ = false;
};

Result<LeaseAnswer> request_here(const std::string& folder, const LeaseRequest& request) {
  SHEAF_ASSIGN(MigJournal journal,
               MigJournal::open(folder, kTableLockWaitMs, "sheaf slices lease"));
  return carry_out_lease(journal, request, {geteuid(), getpid()});
}

void sleep_ms(int ms) {
  const timespec time{ms / 1000, ms % 1000 * 1'000'000L};
  nanosleep(&time, nullptr);
}

}  // namespace

std::string to_text(const LeaseRequest& request) {
  nlohmann::json json = {
      {"about", "lease"},           {"verb", kLeaseVerbs[static_cast<std::size_t>(request.verb)]},
      {"need", request.need},       {"task_id", request.task_id},
      {"wait_ms", request.wait_ms}, {"ticket", request.ticket},
      {"holder", request.holder},   {"cpus", request.cpus},
      {"lease", request.lease},     {"tenant", request.tenant},
      {"drain", request.drain},     {"drainable", request.drainable}};
  if (request.ttl_ms) json["ttl_ms"] = *request.ttl_ms;
  if (request.visible_devices) json["visible_devices"] = *request.visible_devices;
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Result<LeaseRequest> parse_lease_request(const std::string& text) {
  try {
    const auto json = nlohmann::json::parse(text);
    LeaseRequest request;
    const auto verb = std::ranges::find(kLeaseVerbs, json.at("verb").get<std::string>());
    if (verb == kLeaseVerbs.end()) return not_right("that is no verb of a lease");
    request.verb = static_cast<LeaseVerb>(verb - kLeaseVerbs.begin());
    json.at("need").get_to(request.need);
    json.at("task_id").get_to(request.task_id);
    json.at("wait_ms").get_to(request.wait_ms);
    json.at("ticket").get_to(request.ticket);
    json.at("holder").get_to(request.holder);
    json.at("cpus").get_to(request.cpus);
    json.at("lease").get_to(request.lease);
    json.at("tenant").get_to(request.tenant);
    if (json.contains("ttl_ms")) request.ttl_ms = json.at("ttl_ms").get<std::int64_t>();
    json.at("drain").get_to(request.drain);
    json.at("drainable").get_to(request.drainable);
    if (json.contains("visible_devices"))
      request.visible_devices = json.at("visible_devices").get<std::string>();
    return request;
  } catch (const nlohmann::json::exception& thrown) {
    return not_right(fmt::format("not a request for a lease: {}", thrown.what()));
  }
}

std::string to_text(const LeaseAnswer& answer) {
  nlohmann::json json = {{"ticket", answer.ticket}, {"why", answer.why}};
  if (answer.lease) json["lease"] = *answer.lease;
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Result<LeaseAnswer> carry_out_lease(MigJournal& journal, const LeaseRequest& request,
                                    const LeaseAsker& asker) {
  return LeaseDesk(journal, request, asker).run();
}

Result<LeaseAnswer> request_lease(const std::string& folder, const LeaseRequest& request) {
  SHEAF_ASSIGN(const auto text, ask_helper(folder, to_text(request), kTableAnswerMs));
  if (!text) return request_here(folder, request);
  try {
    const auto json = nlohmann::json::parse(*text);
    LeaseAnswer answer;
    json.at("ticket").get_to(answer.ticket);
    json.at("why").get_to(answer.why);
    if (json.contains("lease")) answer.lease = json.at("lease").get<Lease>();
    return answer;
  } catch (const nlohmann::json::exception& thrown) {
    return Error{ErrorCode::corrupt, fmt::format("the helper's answer: {}", thrown.what())};
  }
}

Result<Lease> acquire_lease(const std::string& folder, LeaseRequest request,
                            const std::function<bool()>& give_up) {
  const std::int64_t started_ms = boot_ms(), wait_ms = request.wait_ms;
  LeaseTableWatch watch(folder);
  while (true) {
    SHEAF_ASSIGN(LeaseAnswer answer, request_lease(folder, request));
    if (answer.lease) return std::move(*answer.lease);
    request.ticket = answer.ticket;
    bool gave_up = give_up(), late = boot_ms() - started_ms >= wait_ms;
    while (!gave_up && !late && !watch.stirred()) {
      sleep_ms(kLookAgainMs);
      gave_up = give_up();
      late = boot_ms() - started_ms >= wait_ms;
    }
    if (!gave_up && !late) continue;
    // Once more if it is late: it may have become free in the last moment.
    if (!gave_up) {
      SHEAF_ASSIGN(answer, request_lease(folder, request));
      if (answer.lease) return std::move(*answer.lease);
    }
    request.verb = LeaseVerb::leave;
    SHEAF_TRY(request_lease(folder, request));
    return Error{gave_up ? ErrorCode::cancelled : ErrorCode::deadline_exceeded,
                 fmt::format("waited {} ms for {}: {}", boot_ms() - started_ms,
                             describe(request.need), answer.why)};
  }
}

Result<std::vector<Lease>> list_leases(const std::string& folder) {
  SHEAF_ASSIGN(LeaseTable table, read_lease_table(folder));
  table.drop_ended();
  return std::move(table.leases);
}

std::vector<std::string> own_leases(const std::string& folder, const std::vector<std::string>& ids,
                                    uid_t user) {
  std::vector<std::string> own;
  const auto leases = list_leases(folder);
  if (!leases.ok()) return own;
  for (const Lease& lease : *leases)
    if ((user == 0 || lease.owner.user == user) && std::ranges::find(ids, lease.id) != ids.end())
      own.push_back(lease.id);
  return own;
}

Status refuse_leased(const std::string& folder, const std::vector<std::string>& uuids,
                     const std::vector<std::string>& own) {
  const auto is_in = [](const std::vector<std::string>& list, const std::string& word) {
    return std::ranges::find(list, word) != list.end();
  };
  SHEAF_ASSIGN(const auto leases, list_leases(folder));
  for (const Lease& lease : leases)
    if (lease.slice.kind != "cores" && is_in(uuids, lease.slice.id) && !is_in(own, lease.id))
      return Error{ErrorCode::unavailable,
                   fmt::format("{} is {}: {}", lease.slice.text, describe(lease),
                               lease.drainable ? "--drain has its replicas moved away first"
                                               : "release it first, or wait for its end")};
  return {};
}

}  // namespace sheaf::slices
