#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "core/core.h"
#include "core/random.h"

namespace sheaf::core {

// The life of one replica's processes: when to start one, when to wait, when to give up for a
// while. Says what to do; the pool turns that into actions.
//
//   stopped → starting → ready → (killing) → starting | backoff → starting | broken → starting
//             starting ⇄ waiting, while there is no place for its process
//
// A failure is a death that counts or a failed start. After one: back-off of 0.1 s, doubled with
// each further one in 60 s, at most 30 s, with jitter. After 5 in 60 s the breaker opens: after 30
// s one try (half-open), whose failure opens it again and whose first finished batch closes it.
// After any other death the next process starts at once.
//
// A process that had finished a batch was no broken one: its failure backs off for a second at most
// and opens no breaker. Else texts that hang a replica, and whose requests expire before that is
// proven, would take the fleet down.
class Supervisor {
 public:
  Supervisor(TimeUs start_timeout_us, std::uint64_t seed)
      : start_timeout_us_(start_timeout_us), random_(seed) {}

  Incarnation start(TimeUs now_us);
  void ready() { state_ = ReplicaState::ready; }
  // Of one that starts: there is no place for it, and then there is.
  void wait();
  void wait_is_over(TimeUs now_us);
  // It is over as far as work goes, but its process has not been seen to end. `failure`: this will
  // count when it has.
  void kill(bool failure);
  void ended(TimeUs now_us, bool failure);
  void stop() { state_ = ReplicaState::stopped; }  // drained: nothing more will be started
  void batch_finished(TimeUs now_us);

  // A death was proven to be a text's doing: forgets one failure, if the replica has finished a
  // batch lately (else it may well be broken itself).
  void forgive(TimeUs now_us);

  ReplicaState state() const { return state_; }
  bool is_ready() const { return state_ == ReplicaState::ready; }
  bool has_worked() const { return worked_; }  // this incarnation has finished a batch
  bool runs(Incarnation incarnation) const;    // this one, not yet over
  Incarnation incarnation() const { return incarnation_; }
  bool was_killed_for_failure() const { return kill_is_failure_; }

  bool start_is_due(TimeUs now_us) const;
  bool start_timed_out(TimeUs now_us) const;
  TimeUs next_us() const;  // when one of the two becomes true; INT64_MAX if never

 private:
  void drop_old_failures(TimeUs now_us);
  TimeUs backoff_us();

  TimeUs start_timeout_us_;
  Random random_;
  ReplicaState state_ = ReplicaState::stopped;
  Incarnation incarnation_ = 0;
  TimeUs until_us_ = 0;  // of the start timeout, the back-off or the breaker
  std::deque<TimeUs> failures_;
  bool half_open_ = false;
  bool worked_ = false;
  bool kill_is_failure_ = false;
  TimeUs last_batch_us_ = -1;
};

}  // namespace sheaf::core
