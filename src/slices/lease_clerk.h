#pragma once

#include <condition_variable>
#include <functional>
#include <list>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "slices/lease_request.h"

namespace sheaf::slices {

// Asks for leases on a thread of its own, for those who may not wait themselves: for a lock, for a
// card that answers late, for a slice that is not free yet. Thread-safe.
class LeaseClerk {
 public:
  explicit LeaseClerk(std::string folder);
  ~LeaseClerk();  // close()
  LeaseClerk(const LeaseClerk&) = delete;
  LeaseClerk& operator=(const LeaseClerk&) = delete;

  // Calls back once, on the clerk's thread or at once. As acquire_lease() for acquire, without
  // holding up others who ask. Error overloaded: too many wait already.
  void ask(LeaseRequest request, std::function<void(Result<Lease>)> done);
  void list(std::function<void(Result<std::vector<Lease>>)> done);

  // Answers all who still wait with `unavailable`, and all who come from now on.
  void close();

 private:
  struct Errand {
    std::function<bool()> step;  // false: not done yet, try again soon
    std::function<void(Error)> refuse;
  };
  void add(Errand errand);
  void run();
  void work_through(std::list<Errand>& errands);  // keeps those that are not done yet

  const std::string folder_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::list<Errand> fresh_;
  std::size_t open_ = 0;  // fresh ones and those under way
  bool closed_ = false;
  std::thread thread_;  // from the first errand on
};

}  // namespace sheaf::slices
