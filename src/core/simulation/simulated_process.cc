#include "core/simulation/simulated_process.h"

#include <algorithm>
#include <csignal>
#include <utility>

namespace sheaf::core {
namespace {
constexpr TimeUs kProgressUs = 10'000;  // of CPU time between two advances of the counter
}

SimulatedProcess::SimulatedProcess(ReplicaId replica, Incarnation incarnation,
                                   const Scenario& scenario, Timeline& timeline, Random& random,
                                   ProcessListener& listener)
    : replica_(replica),
      incarnation_(incarnation),
      scenario_(scenario),
      machine_(scenario.machines[replica]),
      timeline_(timeline),
      random_(random),
      listener_(listener),
      lanes_(machine_.limits.lanes) {}

void SimulatedProcess::start() {
  const bool fails =
      timeline_.now() < scenario_.faults_end_us && random_.chance(scenario_.start_failure);
  if (!fails)
    return plan(lanes_.front(), random_.between(20'000, 300'000), &SimulatedProcess::become_ready);
  switch (random_.below(3)) {
    case 0:
      return end({ExitReport::Kind::spawn_failed, 0, false, "no such file"});
    case 1:
      return end({ExitReport::Kind::exit_code, 1, false, "weights are missing"});
    default:  // never ready: the start timeout ends it
      return;
  }
}

void SimulatedProcess::submit(SimulatedBatch batch) {
  if (!alive_) return;  // written into the memory of the dead
  count_work();
  waiting_.push_back(std::move(batch));
  if (!stopped_) begin_batches();
}

void SimulatedProcess::suffer(Scenario::FaultKind fault) {
  using Kind = Scenario::FaultKind;
  switch (fault) {
    case Kind::kill:
      return end({ExitReport::Kind::signal, SIGKILL, false, ""});
    case Kind::stop:
      return stop();
    case Kind::stop_a_moment: {
      stop();
      auto self = shared_from_this();
      return timeline_.after(random_.between(10'000, 200'000), [self] { self->resume(); });
    }
    case Kind::crash:
      return end({ExitReport::Kind::signal, SIGSEGV, false, ""});
    case Kind::leave:
      return end({ExitReport::Kind::exit_code, static_cast<int>(random_.below(2)), false, ""});
    case Kind::hang:
      if (ready_)
        for (Lane& lane : lanes_) hang(lane);
      return;
    case Kind::broken_frames:
      return end({ExitReport::Kind::protocol_error, 0, false, "batch 9 is not open"});
    case Kind::refuse_batch:
      for (Lane& lane : lanes_)
        if (lane.batch && !lane.hung && !stopped_) return refuse(lane);
      return;
    case Kind::lose_slice:
      return end({ExitReport::Kind::slice_lost, 0, false, "mig:0/3"});
  }
}

void SimulatedProcess::end(ExitReport report) {
  if (!alive_) return;
  count_work();
  alive_ = false;
  for (Lane& lane : lanes_) ++lane.plan_number;
  listener_.process_ended(*this, std::move(report));
}

ProgressSample SimulatedProcess::sample() {
  count_work();
  return {static_cast<std::uint64_t>(progress_us_ / kProgressUs), cpu_us_, stopped_};
}

void SimulatedProcess::plan(Lane& lane, TimeUs delay_us, Step step) {
  lane.step = step;
  lane.planned_us = timeline_.now() + delay_us;
  auto self = shared_from_this();
  timeline_.at(lane.planned_us, [self, &lane, number = ++lane.plan_number] {
    if (!self->alive_ || number != lane.plan_number) return;
    (*self.*std::exchange(lane.step, nullptr))(lane);
  });
}

void SimulatedProcess::drop_plan(Lane& lane) {
  ++lane.plan_number;
  lane.step = nullptr;
}

void SimulatedProcess::begin_batches() {
  for (Lane& lane : lanes_)
    if (!lane.batch && !lane.hung && !waiting_.empty()) begin(lane);
}

// Lanes share what the machine can do.
void SimulatedProcess::begin(Lane& lane) {
  count_work();
  lane.batch = std::move(waiting_.front());
  waiting_.pop_front();
  lane.outcome = outcome_of(*lane.batch);
  const double noise = 1 + scenario_.noise * (2 * random_.unit() - 1);
  const double rate = machine_.tokens_per_s / static_cast<double>(running());
  lane.compute_us =
      machine_.overhead_us + static_cast<TimeUs>(lane.batch->tokens * 1e6 / rate * noise);
  const bool finishes = lane.outcome == Outcome::finish;
  plan(lane, finishes ? lane.compute_us : random_.between(0, lane.compute_us),
       &SimulatedProcess::reach_outcome);
}

SimulatedProcess::Outcome SimulatedProcess::outcome_of(const SimulatedBatch& batch) const {
  if (batch.tokens > machine_.memory_tokens) return Outcome::exhaust;
  for (const Scenario::Text text : batch.texts) {
    if (text == Scenario::Text::crashes) return Outcome::crash;
    if (text == Scenario::Text::hangs) return Outcome::hang;
    if (text == Scenario::Text::exhausts) return Outcome::exhaust;
  }
  return Outcome::finish;
}

void SimulatedProcess::become_ready(Lane&) {
  ready_ = true;
  counted_until_us_ = timeline_.now();
  listener_.process_ready(*this);
}

void SimulatedProcess::reach_outcome(Lane& lane) {
  switch (lane.outcome) {
    case Outcome::finish:
      return finish(lane);
    case Outcome::crash:
      return end({ExitReport::Kind::signal, SIGABRT, false, "assertion failed"});
    case Outcome::hang:
      return hang(lane);
    case Outcome::exhaust:
      if (machine_.refuses_when_exhausted) return refuse(lane);
      return end({ExitReport::Kind::signal, SIGKILL, true, ""});
  }
}

// Rows in one frame or two, then the end.
void SimulatedProcess::finish(Lane& lane) {
  count_work();
  const SimulatedBatch batch = *std::exchange(lane.batch, {});
  std::vector<std::uint64_t> results;
  for (const std::uint64_t payload : batch.payloads) results.push_back(simulated_result(payload));
  if (!results.empty()) {  // not a probe
    const auto cut = static_cast<std::uint32_t>(random_.below(results.size()));
    const auto middle = results.begin() + cut;
    if (cut > 0) listener_.process_rows(*this, batch.id, 0, {results.begin(), middle});
    listener_.process_rows(*this, batch.id, cut, {middle, results.end()});
  }
  listener_.process_batch_end(*this, batch.id, lane.compute_us, false);
  begin_batches();
}

void SimulatedProcess::refuse(Lane& lane) {
  count_work();
  const BatchId id = std::exchange(lane.batch, {})->id;
  drop_plan(lane);
  listener_.process_batch_end(*this, id, 0, true);
  begin_batches();
}

// What lies behind a batch that hangs goes on in the other lanes.
void SimulatedProcess::hang(Lane& lane) {
  count_work();
  drop_plan(lane);
  lane.hung = true;
  hung_asleep_ = random_.chance(0.3);
}

std::size_t SimulatedProcess::running() const {
  return static_cast<std::size_t>(
      std::ranges::count_if(lanes_, [](const Lane& lane) { return lane.batch.has_value(); }));
}

bool SimulatedProcess::hung() const {
  return std::ranges::any_of(lanes_, [](const Lane& lane) { return lane.hung; });
}

void SimulatedProcess::stop() {
  if (!alive_ || stopped_) return;
  count_work();
  stopped_ = true;
  stopped_since_us_ = timeline_.now();
  for (Lane& lane : lanes_) {
    lane.left_us = std::max<TimeUs>(0, lane.planned_us - timeline_.now());
    ++lane.plan_number;
  }
}

void SimulatedProcess::resume() {
  if (!alive_ || !stopped_) return;
  count_work();
  stopped_ = false;
  for (Lane& lane : lanes_)
    if (lane.step != nullptr) plan(lane, lane.left_us, lane.step);
  begin_batches();
}

// CPU time passes while there is work; progress is made while no lane hangs.
void SimulatedProcess::count_work() {
  const TimeUs passed_us = timeline_.now() - counted_until_us_;
  counted_until_us_ = timeline_.now();
  if (running() == 0 || stopped_ || hung_asleep_) return;
  cpu_us_ += passed_us;
  if (!hung()) progress_us_ += passed_us;
}

}  // namespace sheaf::core
