#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "slices/process_identity.h"

// A slice that one task has to itself for a time. Plain values; who gets what: lease_choice.h, the
// machine's table of them: lease_table.h, asking for one: lease_request.h.
namespace sheaf::slices {

// What is asked for: one slice by its name, or any that suffices.
struct LeaseNeed {
  std::string slice;               // "cores:0-1", or find_place()'s words; then nothing else
  std::string kind;                // "cores", "gpu", "mig"; empty: a card or a MIG slice
  std::string profile;             // of a MIG slice: "1g.5gb"
  std::uint64_t memory_bytes = 0;  // of a card or MIG slice, at least
  unsigned cores = 0;              // how many
  bool shared = false;             // with others who say the same
  friend bool operator==(const LeaseNeed&, const LeaseNeed&) = default;
};
// With its kind filled in where the rest tells it. Errors name what contradicts.
Result<LeaseNeed> checked(LeaseNeed need);
std::string describe(const LeaseNeed& need);  // "2 cores", "a 1g.5gb"

struct LeasedSlice {
  std::string kind;       // "cores", "gpu", "mig"
  std::string id;         // "cores:0-1", or the UUID
  std::string text;       // for people: "mig:0/3 (1g.5gb)"
  std::vector<int> cpus;  // of cores; ascending
  std::string gpu_uuid;   // of the card, for gpu and mig
  std::uint64_t memory_bytes = 0;
};
// Whether two tasks cannot have both: cores in common, or a card and a slice of it.
bool overlap(const LeasedSlice& a, const LeasedSlice& b);

// Whose it is: none but they, and root, renew and release it.
struct LeaseOwner {
  uid_t user = 0;
  std::string tenant;  // among those who come through one server; empty: none
  friend bool operator==(const LeaseOwner&, const LeaseOwner&) = default;
};

struct Lease {
  std::string id;       // "lease-3f…"
  std::string task_id;  // one lease for each that an owner has; empty: without
  LeaseNeed need;
  LeasedSlice slice;
  LeaseOwner owner;
  ProcessIdentity holder;    // it ends when this one does; nobody: only by time
  std::int64_t ttl_ms = 0;   // from the last renewal
  std::int64_t ends_ms = 0;  // on boot_ms()'s clock
  bool drainable = false;    // the holder moves away when somebody asks for the slice with `drain`
};
// "leased to task t by process 12, ends in 30 s"; of a drainable one "used by sheaf serve, process
// 12".
std::string describe(const Lease& lease);
// Whether nobody can have the slice, to himself or shared, while this lease lasts.
bool excludes(const Lease& lease, const LeasedSlice& slice, bool shared);

// What a process needs to run there, "NAME=value": SHEAF_LEASE, SHEAF_SLICE and, of a card or MIG
// slice, CUDA_VISIBLE_DEVICES. Cores are bound by affinity, not by the environment.
std::vector<std::string> environment_of(const Lease& lease);

std::int64_t boot_ms();  // since the machine started, sleep included

}  // namespace sheaf::slices
