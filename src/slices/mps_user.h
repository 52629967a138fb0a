#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "slices/mps_keeper.h"
#include "slices/placement.h"

namespace sheaf::slices {

// The MPS daemons that a server's replicas are clients of: starts those that are missing, through
// the helper where one listens, and has them kept: by the helper, else by itself. Thread-safe; it
// has a thread of its own for what is wanted later, and its keeper's.
class MpsUser {
 public:
  // Slices of the placement, one a card or MIG slice, whose daemon does not run. Error corrupt: as
  // find_mps().
  static Result<std::vector<Slice>> missing(const Placement& placement);

  // Starts those, one after the other, which takes as long as they do. Errors name the slice; of
  // want of rights also the command that somebody else may run.
  static Result<std::unique_ptr<MpsUser>> start(const Placement& placement);

  // Stops the daemons that it started, but those that have other clients: they stay, as those do
  // that ran already. To be called when the replicas are gone. May take some seconds.
  ~MpsUser();
  MpsUser(const MpsUser&) = delete;
  MpsUser& operator=(const MpsUser&) = delete;

  // A daemon is to run there too: a replica has moved. Returns at once, and may be called again
  // and again until it runs.
  void want(const std::string& uuid);

 private:
  explicit MpsUser(std::string folder);
  Status start_on(const std::string& uuid);
  void keep();
  void run();
  void start_wanted(const std::string& uuid);
  void stop(const std::string& uuid) const;

  const std::string folder_;
  std::unique_ptr<MpsKeeper> keeper_;  // where no helper is
  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<std::string> wanted_, started_;  // UUIDs
  std::map<std::string, TimeUs> retry_us_;  // by UUID that failed to start: not before
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace sheaf::slices
