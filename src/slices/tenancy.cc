#include "slices/tenancy.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "base/log.h"
#include "slices/lease_request.h"
#include "slices/lease_table.h"

namespace sheaf::slices {
namespace {

constexpr std::chrono::milliseconds kLookPeriod{200};
constexpr std::chrono::seconds kLeaveBehindAfter{1};
constexpr std::int64_t kRenewMs = kLeaseTtlDefaultMs / 3;
constexpr std::int64_t kTryAgainMs = 2000;  // what could not be leased, or renewed
constexpr std::int64_t kLookAtHoldersMs = 1000;

std::string own_lease() {
  const char* id = std::getenv("SHEAF_LEASE");
  return id == nullptr ? "" : id;
}

LeaseRequest request_for(const std::string& uuid, const std::string& name, bool by_time) {
  LeaseRequest request{.verb = LeaseRequest::Verb::acquire};
  request.need.slice = uuid;
  request.need.shared = true;
  request.task_id = fmt::format("serve {} {}", getpid(), name);
  request.drainable = true;
  request.holder = by_time ? LeaseRequest::kNobody : LeaseRequest::kAsker;
  return request;
}

std::string asked_back(const LeaseTicket& ticket) {
  return ticket.waiter.pid == 0 ? "is asked back"
                                : fmt::format("is asked back by process {}", ticket.waiter.pid);
}

}  // namespace

// Outlives the tenancy where asking hangs.
struct Tenancy::Shared {
  Shared(std::string in, Heard told)
      : folder(std::move(in)), heard(std::move(told)), reader(folder) {}

  const std::string folder;
  const Heard heard;

  std::mutex mutex;
  std::condition_variable changed;
  ByUuid occupied;
  bool stirred = false;  // occupied has changed
  bool stop = false;
  bool ended = false;  // the thread has left

  // The thread's own, from here on.
  struct Held {
    std::string lease;
    std::int64_t renewed_ms = 0;
  };
  std::map<std::string, Held> held;                // by UUID
  std::map<std::string, std::string> given_back;   // by lease, while somebody waits for it: UUID
  std::map<std::string, std::int64_t> refused_ms;  // by UUID: when
  LeaseTableReader reader;
  LeaseTable table;             // without what has ended
  std::int64_t dropped_ms = 0;  // when that was looked at
  bool by_time = false;         // the helper cannot see this process, and so cannot watch it
  bool failed = false;          // and the log has said so
  const std::string own = own_lease();
  ByUuid withheld;

  void run() {
    while (next()) {
      ByUuid wanted;
      {
        const std::lock_guard lock(mutex);
        wanted = occupied;
      }
      look(wanted);
    }
    for (const auto& [uuid, one] : held) release(one.lease);
    const std::lock_guard lock(mutex);
    ended = true;
    changed.notify_all();
  }

  // Waits for the next turn; false if there is none.
  bool next() {
    std::unique_lock lock(mutex);
    changed.wait_for(lock, kLookPeriod, [this] { return stop || stirred; });
    stirred = false;
    return !stop;
  }

  void look(const ByUuid& wanted) {
    const auto& read = reader.now();
    if (!read.ok()) return complain(read.error());
    if (reader.is_another() || boot_ms() - dropped_ms >= kLookAtHoldersMs) {
      table = *read;
      table.drop_ended();
      dropped_ms = boot_ms();
    }
    drop_lost();
    ByUuid now = leased_to_others(table.leases);
    now.merge(drained());
    give_back_all_but(wanted);
    tell(now);
    std::erase_if(refused_ms, [](const auto& one) { return one.second + kTryAgainMs < boot_ms(); });
    for (const auto& [uuid, name] : wanted)
      if (!now.contains(uuid) && !has_own_lease(uuid)) keep(uuid, name);
  }

  bool has_own_lease(const std::string& uuid) const {
    return std::ranges::any_of(table.leases, [&](const Lease& lease) {
      return lease.id == own && lease.slice.id == uuid;
    });
  }

  // Those that ended without us: time over in a machine that slept, the table removed.
  void drop_lost() {
    std::erase_if(held, [&](const auto& one) {
      return std::ranges::find(table.leases, one.second.lease, &Lease::id) == table.leases.end();
    });
  }

  ByUuid drained() {
    ByUuid asked;
    std::set<std::string> waited_for;
    for (const LeaseTicket& ticket : table.waiting)
      for (const std::string& id : ticket.drains) {
        waited_for.insert(id);
        const auto ours =
            std::ranges::find_if(held, [&](const auto& one) { return one.second.lease == id; });
        if (ours != held.end()) given_back[id] = ours->first;
        if (const auto uuid = given_back.find(id); uuid != given_back.end())
          asked[uuid->second] = asked_back(ticket);
      }
    std::erase_if(given_back, [&](const auto& one) { return !waited_for.contains(one.first); });
    return asked;
  }

  void give_back_all_but(const ByUuid& wanted) {
    std::erase_if(held, [&](const auto& one) {
      if (wanted.contains(one.first)) return false;
      release(one.second.lease);
      return true;
    });
  }

  void release(const std::string& lease) {
    LeaseRequest request{.verb = LeaseRequest::Verb::release};
    request.lease = lease;
    (void)request_lease(folder, request);  // else it ends by time
  }

  // Leases the slice, or renews its lease. Where that fails nothing moves: it is tried again, and
  // whoever has the slice instead stands in the table.
  void keep(const std::string& uuid, const std::string& name) {
    const auto known = held.find(uuid);
    if (known != held.end() && boot_ms() - known->second.renewed_ms < kRenewMs) return;
    if (refused_ms.contains(uuid)) return;
    auto answer = request_lease(folder, request_for(uuid, name, by_time));
    if (!by_time && !answer.ok() && answer.error().code == ErrorCode::invalid_argument) {
      by_time = true;
      answer = request_lease(folder, request_for(uuid, name, by_time));
    }
    if (answer.ok() && answer->lease) {
      if (std::exchange(failed, false)) log(LogLevel::info, "slices are leased again");
      held[uuid] = {answer->lease->id, boot_ms()};
      return;
    }
    refused_ms[uuid] = boot_ms();
    // One that is gone its watch sees as well.
    if (!answer.ok() && answer.error().code != ErrorCode::not_found) complain(answer.error());
  }

  void complain(const Error& error) {
    if (!std::exchange(failed, true))
      log(LogLevel::warn, "slices cannot be leased, and so not be asked back either: {}",
          error.message);
  }

  void tell(ByUuid now) {
    if (now == withheld) return;
    withheld = std::move(now);
    const std::lock_guard lock(mutex);
    if (!stop) heard(withheld);
  }
};

Tenancy::Tenancy(std::string folder, Heard heard)
    : shared_(std::make_shared<Shared>(std::move(folder), std::move(heard))) {
  std::thread([shared = shared_] { shared->run(); }).detach();
}

Tenancy::~Tenancy() {
  std::unique_lock lock(shared_->mutex);
  shared_->stop = true;
  shared_->changed.notify_all();
  shared_->changed.wait_for(lock, kLeaveBehindAfter, [this] { return shared_->ended; });
}

Tenancy::ByUuid Tenancy::leased_to_others(const std::vector<Lease>& leases) {
  const std::string own = own_lease();
  ByUuid leased;
  for (const Lease& lease : leases)
    if (!lease.need.shared && lease.id != own && lease.slice.kind != "cores")
      leased[lease.slice.id] = "is " + describe(lease);
  return leased;
}

void Tenancy::occupy(ByUuid slices) {
  const std::lock_guard lock(shared_->mutex);
  shared_->occupied = std::move(slices);
  shared_->stirred = true;
  shared_->changed.notify_all();
}

}  // namespace sheaf::slices
