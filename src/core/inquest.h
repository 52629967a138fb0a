#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/death.h"
#include "core/open_requests.h"
#include "core/queue.h"
#include "core/replicas.h"

namespace sheaf::core {

// Finds out which text, if any, is to blame when replicas of a model die or refuse their batch.
//
// Items that a replica left undone, with blame, are suspects: of a batch that was too large for the
// memory they are tried again by halves, else one by one. A trial has a replica to itself, the
// witness, and there is one trial at a time: one replica at most is at stake. A witness must have
// finished a batch since it was started, if need be a probe of one token; else a replica that fails
// at everything would testify against texts. An item that fails alone gets a strike, and is tried
// by another replica if there is one; at the second strike it is guilty, and the replicas that fell
// over it are forgiven: else a few such texts would open every breaker.
//
// Trials go before the queue. Replicas are named by position.
class Inquest {
 public:
  Inquest(const OpenRequests& requests, Replicas& replicas)
      : requests_(requests), replicas_(replicas) {}

  struct Charge {
    std::uint32_t replica = 0;
    std::vector<QueuedItem> items;  // left undone; their requests are open
    bool alone = false;             // Batch::alone
    Blame blame = Blame::suspected;
    std::string cause;
  };
  struct Verdict {  // the request is to be refused
    RequestId request = 0;
    Error error;
  };
  // Keeps the items for trials, or finds one guilty.
  std::optional<Verdict> accuse(TimeUs now_us, Charge charge);

  struct Trial {
    std::uint32_t witness = 0;
    std::vector<QueuedItem> items;  // none: a probe
  };
  // What must be sent now. None: nobody is suspected, a trial is on, or the witness is still busy
  // with what it had before.
  std::optional<Trial> next(TimeUs now_us);
  // Nothing but trials may be sent to it.
  bool has_reserved(std::uint32_t replica) const { return witness_ == replica; }

  void batch_ended(std::uint32_t replica);  // whichever of its batches
  void replica_ended(std::uint32_t replica);
  void forget(RequestId request);  // it has ended

 private:
  struct Group {  // tried together
    std::vector<QueuedItem> items;
    std::optional<std::uint32_t>
        avoid;  // failed at it alone: another replica is the better witness
  };
  struct Record {
    std::uint8_t strikes = 0;           // how often a replica failed at it alone
    std::vector<std::uint32_t> fallen;  // replicas that ended while they ran it
  };

  void add_halves(const std::vector<QueuedItem>& items);
  void drop_ended();
  std::optional<std::uint32_t> choose_witness(TimeUs now_us,
                                              std::optional<std::uint32_t> avoid) const;
  Verdict convict(TimeUs now_us, const QueuedItem& item, const Record& record,
                  const std::string& cause);

  const OpenRequests& requests_;
  Replicas& replicas_;
  std::deque<Group> groups_;  // of requests that have ended too, until their turn comes
  std::map<std::pair<RequestId, std::uint32_t>, Record> records_;  // by request and item
  std::optional<std::uint32_t> witness_;
  bool trial_on_ = false;  // then the witness has the trial's batch and nothing else
};

}  // namespace sheaf::core
