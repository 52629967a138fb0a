#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "slices/mps.h"

namespace sheaf::slices {

struct MpsKeeperOptions {
  std::string folder;
  std::string who = "sheaf slices daemon";  // that holds the machine's lock meanwhile
  int interval_ms = 1000;
  int answer_ms = 2000;       // that a daemon has for an answer
  int silences_max = 3;       // in a row; then it hangs, and is killed
  int retry_max_ms = 30'000;  // between starts that fail, which begin at an interval and double
};

// Watches the MPS daemons of this machine, whoever started them: one that dies or hangs is started
// again, and who were its clients, or those of a server in FAULT, stands in its event
// (`sheaf slices mps list`), so that they are started again too. A thread of its own, which ends
// with this.
class MpsKeeper {
 public:
  explicit MpsKeeper(MpsKeeperOptions options);
  ~MpsKeeper();
  MpsKeeper(const MpsKeeper&) = delete;
  MpsKeeper& operator=(const MpsKeeper&) = delete;

 private:
  // What is remembered of a daemon between two looks.
  struct Watch {
    int silences = 0;
    bool faulted = false;
    TimeUs retry_us = 0;  // no start before
    int retry_ms = 0;
  };
  void run();
  void look_at_all();
  void look_at(const MpsDaemon& daemon, Watch& watch);
  void take(const MpsDaemon& daemon, const std::vector<MpsServer>& servers, Watch& watch);
  void start_again(const MpsDaemon& daemon, const std::string& what, Watch& watch);

  const MpsKeeperOptions options_;
  std::map<std::string, Watch> watches_;  // by UUID; of the thread alone
  std::mutex mutex_;
  std::condition_variable stop_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace sheaf::slices
