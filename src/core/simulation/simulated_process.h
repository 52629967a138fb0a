#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "core/core.h"
#include "core/random.h"
#include "core/simulation/scenario.h"
#include "core/simulation/timeline.h"

namespace sheaf::core {

// A batch as the driver hands it to a replica: what the texts do, and what stands for their ids.
struct SimulatedBatch {
  BatchId id = 0;
  std::uint32_t tokens = 0;
  std::vector<std::uint64_t> payloads;  // one an item
  std::vector<Scenario::Text> texts;    // one an item
};

// The "vector" that a replica computes for a payload.
constexpr std::uint64_t simulated_result(std::uint64_t payload) {
  return payload * 0x9e3779b97f4a7c15ULL + 1;
}

class SimulatedProcess;

// What a process lets out. Called at the moment it happens; delay is the listener's affair.
class ProcessListener {
 public:
  virtual ~ProcessListener() = default;
  virtual void process_ready(SimulatedProcess& process) = 0;
  virtual void process_rows(SimulatedProcess& process, BatchId batch, std::uint32_t first,
                            std::vector<std::uint64_t> results) = 0;
  virtual void process_batch_end(SimulatedProcess& process, BatchId batch, TimeUs compute_us,
                                 bool failed) = 0;
  virtual void process_ended(SimulatedProcess& process, ExitReport report) = 0;
};

// One process of one replica: begins batches in order, as many at once as its machine has lanes,
// and suffers what the scenario has for it.
class SimulatedProcess : public std::enable_shared_from_this<SimulatedProcess> {
 public:
  SimulatedProcess(ReplicaId replica, Incarnation incarnation, const Scenario& scenario,
                   Timeline& timeline, Random& random, ProcessListener& listener);

  void start();
  void submit(SimulatedBatch batch);
  void suffer(Scenario::FaultKind fault);
  void end(ExitReport report);  // a signal from outside, or its control socket closed
  ProgressSample sample();

  ReplicaId replica() const { return replica_; }
  Incarnation incarnation() const { return incarnation_; }
  bool alive() const { return alive_; }
  bool is_ready() const { return ready_ && alive_; }
  bool stopped() const { return stopped_; }
  TimeUs stopped_since_us() const { return stopped_since_us_; }  // the last time
  bool hung_busy() const { return hung() && !hung_asleep_; }
  bool busy() const { return running() > 0 || !waiting_.empty(); }

 private:
  enum class Outcome { finish, crash, hang, exhaust };

  struct Lane;
  using Step = void (SimulatedProcess::*)(Lane& lane);
  // At most one step is planned at a time; a stop takes it back and keeps what was left of it.
  struct Lane {
    std::optional<SimulatedBatch> batch;  // that runs
    Outcome outcome = Outcome::finish;
    TimeUs compute_us = 0;  // when it is done
    bool hung = false;
    std::uint64_t plan_number = 0;
    TimeUs planned_us = 0;
    TimeUs left_us = 0;
    Step step = nullptr;
  };

  void plan(Lane& lane, TimeUs delay_us, Step step);
  static void drop_plan(Lane& lane);
  void begin_batches();
  void begin(Lane& lane);
  Outcome outcome_of(const SimulatedBatch& batch) const;
  void become_ready(Lane& lane);
  void reach_outcome(Lane& lane);
  void finish(Lane& lane);
  void refuse(Lane& lane);
  void hang(Lane& lane);
  std::size_t running() const;  // lanes
  bool hung() const;            // any of them
  void stop();
  void resume();
  void count_work();

  const ReplicaId replica_;
  const Incarnation incarnation_;
  const Scenario& scenario_;
  const Scenario::Machine machine_;
  Timeline& timeline_;
  Random& random_;
  ProcessListener& listener_;

  bool alive_ = true;
  bool ready_ = false;
  bool stopped_ = false;
  TimeUs stopped_since_us_ = 0;
  bool hung_asleep_ = false;
  std::deque<SimulatedBatch> waiting_;
  std::vector<Lane> lanes_;  // of which the first also becomes ready

  TimeUs counted_until_us_ = 0;
  TimeUs cpu_us_ = 0;
  TimeUs progress_us_ = 0;  // CPU time while not hung
};

}  // namespace sheaf::core
