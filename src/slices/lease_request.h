#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "slices/lease.h"
#include "slices/mig_journal.h"

// Asking for leases: the same whether this process writes the machine's table or the helper does.
namespace sheaf::slices {

inline constexpr std::int64_t kLeaseTtlMinMs = 1000;
inline constexpr std::int64_t kLeaseTtlMaxMs = 7 * 24 * 3'600'000LL;
inline constexpr std::int64_t kLeaseWaitMaxMs = 24 * 3'600'000LL;
inline constexpr std::int64_t kLeaseTtlDefaultMs = 60'000;

struct LeaseRequest {
  enum class Verb { acquire, renew, release, leave };
  Verb verb = Verb::acquire;

  // Of acquire. The same task and need again give the same lease, renewed; another need under that
  // task is refused.
  LeaseNeed need;
  std::string task_id;
  std::int64_t wait_ms = 0;  // 0: refused at once where none is free
  bool drain = false;        // while it waits, drainable leases in the way are asked to move away
  bool drainable = false;    // Lease's
  std::string ticket;        // from the answer before, while one waits; also of leave
  // With whose end the lease ends: a process by its number, kAsker for the one that asks, kNobody.
  static constexpr pid_t kNobody = 0, kAsker = -1;
  pid_t holder = kNobody;
  std::optional<std::string> visible_devices;  // the asker's CUDA_VISIBLE_DEVICES, where it is set
  std::vector<int> cpus;                       // that the asker may use; empty: all of this machine

  std::string lease;                   // an id, of renew and release
  std::string tenant;                  // LeaseOwner's
  std::optional<std::int64_t> ttl_ms;  // of acquire and renew; nothing: the default, or as before
};

std::string to_text(const LeaseRequest& request);  // one line of JSON
// Error invalid_argument: it is not what to_text() writes.
Result<LeaseRequest> parse_lease_request(const std::string& text);

// As the kernel tells it, not as it says itself.
struct LeaseAsker {
  uid_t user = 0;
  pid_t pid = 0;  // 0: in another process namespace
};

struct LeaseAnswer {
  std::optional<Lease> lease;      // that was got, renewed or released
  std::string ticket, why;         // of who has to wait, and for what
  std::vector<std::string> ended;  // leases that were found over, a sentence each
};
std::string to_text(const LeaseAnswer& answer);  // one line of JSON, without `ended`

// One look at the table under its lock, without waiting. Errors: unavailable, none is free and no
// wait is wanted; not_found, no such slice or lease; invalid_argument; permission_denied, another's
// lease; corrupt, a damaged table.
Result<LeaseAnswer> carry_out_lease(MigJournal& journal, const LeaseRequest& request,
                                    const LeaseAsker& asker);

// Once, through the helper of this folder if one listens, else here.
Result<LeaseAnswer> request_lease(const std::string& folder, const LeaseRequest& request);

// Acquires, asking again until `request.wait_ms` are over (error deadline_exceeded, which says what
// it waited for) or `give_up` says so (cancelled).
Result<Lease> acquire_lease(
    const std::string& folder, LeaseRequest request,
    const std::function<bool()>& give_up = [] { return false; });

// What is leased now. Needs no right but to read the folder.
Result<std::vector<Lease>> list_leases(const std::string& folder);

// Those of these leases (ids) that are this user's; root's are all.
std::vector<std::string> own_leases(const std::string& folder, const std::vector<std::string>& ids,
                                    uid_t user);

// Error unavailable: one of these cards or MIG slices (UUIDs) is leased, by another lease than
// `own` (ids); it names the lease.
Status refuse_leased(const std::string& folder, const std::vector<std::string>& uuids,
                     const std::vector<std::string>& own);

}  // namespace sheaf::slices
