#include "slices/drain.h"

#include <algorithm>
#include <ctime>
#include <set>
#include <utility>
#include <vector>

#include "slices/lease_request.h"
#include "slices/mps.h"
#include "slices/mps_request.h"
#include "slices/process_identity.h"
#include "slices/slice_helper.h"

namespace sheaf::slices {
namespace {

constexpr std::int64_t kLingerMs = 5000;  // a card tells of processes a while after their end
constexpr int kLingerLookMs = 100;

// What the change takes away, and whose it is.
struct Takings {
  std::vector<std::string> uuids;
  std::vector<Lease> drainable;
};

Result<Takings> takings_of(const std::string& folder, const std::vector<Gpu>& gpus,
                           const std::vector<CardChange>& changes) {
  Takings takings;
  for (const CardChange& change : changes) {
    const auto gpu = std::ranges::find(gpus, change.before.uuid, &Gpu::uuid);
    for (std::string& uuid : taken_away(*gpu, change)) takings.uuids.push_back(std::move(uuid));
  }
  SHEAF_ASSIGN(const auto leases, list_leases(folder));
  std::vector<std::string> ids;
  for (const Lease& lease : leases) {
    const bool is_taken = std::ranges::find(takings.uuids, lease.slice.id) != takings.uuids.end();
    if (!is_taken || !lease.drainable) continue;
    takings.drainable.push_back(lease);
    ids.push_back(lease.id);
  }
  SHEAF_TRY(refuse_leased(folder, takings.uuids, ids));
  return takings;
}

// Nobody is asked to move for a change that others block. A server of MPS goes with its clients;
// one that has others is named by the change.
Status refuse_foreign(std::vector<Gpu> gpus, const std::vector<CardChange>& changes,
                      const std::vector<Lease>& drainable) {
  for (Gpu& gpu : gpus)
    std::erase_if(gpu.processes, [&](const GpuProcess& process) {
      if (process.kind == Nvml::ProcessKind::mps) return true;
      return std::ranges::any_of(drainable, [&](const Lease& lease) {
        return lease.holder.pid != 0 &&
               descends_from(static_cast<pid_t>(process.pid), lease.holder.pid);
      });
    });
  for (const CardChange& change : changes)
    SHEAF_TRY(refuse_busy(*std::ranges::find(gpus, change.before.uuid, &Gpu::uuid), change));
  return {};
}

// Held until the change is made.
class DrainedSlices {
 public:
  explicit DrainedSlices(std::string folder) : folder_(std::move(folder)) {}
  ~DrainedSlices() {
    for (const std::string& lease : leases_) {
      LeaseRequest request{.verb = LeaseRequest::Verb::release};
      request.lease = lease;
      (void)request_lease(folder_, request);  // else it ends with this process
    }
  }
  DrainedSlices(const DrainedSlices&) = delete;
  DrainedSlices& operator=(const DrainedSlices&) = delete;

  // All are asked for before the first is waited for, so that nobody moves from one to another.
  Status take(const std::set<std::string>& uuids, std::int64_t wait_ms) {
    const std::int64_t late_ms = boot_ms() + wait_ms;
    std::vector<LeaseRequest> open;
    for (const std::string& uuid : uuids) {
      LeaseRequest request{.verb = LeaseRequest::Verb::acquire};
      request.need.slice = uuid;
      request.drain = true;
      request.wait_ms = wait_ms;
      request.holder = LeaseRequest::kAsker;
      SHEAF_ASSIGN(const LeaseAnswer answer, request_lease(folder_, request));
      request.ticket = answer.ticket;
      if (answer.lease)
        leases_.push_back(answer.lease->id);
      else
        open.push_back(std::move(request));
    }
    for (LeaseRequest& request : open) {
      request.wait_ms = std::max<std::int64_t>(late_ms - boot_ms(), 1);
      SHEAF_ASSIGN(const Lease lease, acquire_lease(folder_, request));
      leases_.push_back(lease.id);
    }
    return {};
  }
  const std::vector<std::string>& leases() const { return leases_; }

 private:
  const std::string folder_;
  std::vector<std::string> leases_;
};

// Daemons whose clients moved away go with their slices; one that has others is named by the
// change.
void stop_idle_mps(const std::string& folder, const std::set<std::string>& uuids) {
  for (const std::string& uuid : uuids) {
    const auto daemon = find_mps(folder, uuid);
    if (daemon.ok() && *daemon)
      (void)request_mps(folder, {.verb = MpsRequest::Verb::stop, .places = {uuid}});
  }
}

Result<ChangeReport> change_when_idle(const std::string& folder, const MigRequest& request,
                                      const std::set<std::string>& uuids, int wait_ms,
                                      const std::string& who) {
  const std::int64_t late_ms = boot_ms() + kLingerMs;
  while (true) {
    stop_idle_mps(folder, uuids);
    auto report = request_change(folder, request, wait_ms, who);
    const bool is_busy = !report.ok() && report.error().code == ErrorCode::unavailable;
    if (!is_busy || boot_ms() >= late_ms) return report;
    const timespec pause{0, kLingerLookMs * 1'000'000L};
    nanosleep(&pause, nullptr);
  }
}

}  // namespace

Result<ChangeReport> request_change_after_drain(const std::string& folder,
                                                const MigRequest& request, int wait_ms,
                                                const std::string& who) {
  std::vector<Gpu> gpus;
  {
    SHEAF_ASSIGN(const Nvml nvml, Nvml::open());
    SHEAF_ASSIGN(GpuInventory inventory, read_gpus(nvml, nullptr));
    gpus = std::move(inventory.gpus);
  }
  SHEAF_ASSIGN(const auto changes, changes_for(request, gpus));
  SHEAF_ASSIGN(const Takings takings, takings_of(folder, gpus, changes));
  if (takings.drainable.empty()) return request_change(folder, request, wait_ms, who);
  SHEAF_TRY(refuse_foreign(gpus, changes, takings.drainable));
  DrainedSlices drained(folder);
  std::set<std::string> uuids;
  for (const Lease& lease : takings.drainable) uuids.insert(lease.slice.id);
  SHEAF_TRY(drained.take(uuids, wait_ms));
  MigRequest allowed = request;
  allowed.leases = drained.leases();
  return change_when_idle(folder, allowed, uuids, wait_ms, who);
}

}  // namespace sheaf::slices
