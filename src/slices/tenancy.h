#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "slices/lease.h"

namespace sheaf::slices {

// A server's leases (lease.h) of the cards and MIG slices that its replicas run on: shared with
// other servers, and drainable, which means that it moves away when somebody asks. Kept by a thread
// of its own, since asking may wait for the machine's lock or for a card.
//
// Without the right to write the machine's table there are no leases, which the log says once; what
// others hold is heeded all the same.
class Tenancy {
 public:
  // UUIDs, each with something else: of occupied ones their name ("mig:0/3"), of withheld ones why
  // ("is leased to task t …", "is asked back by process 12").
  using ByUuid = std::map<std::string, std::string>;
  // What must not be used for now, on the tenancy's thread, at each change; not called while or
  // after the destructor runs. It must not wait for whoever destroys the tenancy.
  using Heard = std::function<void(const ByUuid& withheld)>;

  // Of the table in this folder. The lease in SHEAF_LEASE, under which this process was started,
  // withholds nothing.
  Tenancy(std::string folder, Heard heard);
  // Gives all leases back. Waits a second at most: what hangs is left behind, and its leases end
  // with this process.
  ~Tenancy();
  Tenancy(const Tenancy&) = delete;
  Tenancy& operator=(const Tenancy&) = delete;

  // Where replicas run, or are about to: all of them, each time that it changes. Thread-safe,
  // returns at once.
  void occupy(ByUuid slices);

  // What these leases withhold from this process; cores aside.
  static ByUuid leased_to_others(const std::vector<Lease>& leases);

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
};

}  // namespace sheaf::slices
