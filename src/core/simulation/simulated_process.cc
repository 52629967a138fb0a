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
      listener_(listener) {}

void SimulatedProcess::start() {
  const bool fails =
      timeline_.now() < scenario_.faults_end_us && random_.chance(scenario_.start_failure);
  if (!fails) return plan(random_.between(20'000, 300'000), &SimulatedProcess::become_ready);
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
  batches_.push_back(std::move(batch));
  if (batches_.size() == 1 && !hung_ && !stopped_) run_front();
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
      return ready_ ? hang() : void();
    case Kind::broken_frames:
      return end({ExitReport::Kind::protocol_error, 0, false, "batch 9 is not open"});
    case Kind::refuse_batch:
      return busy() && !stopped_ && !hung_ ? refuse_front() : void();
    case Kind::lose_slice:
      return end({ExitReport::Kind::slice_lost, 0, false, "mig:0/3"});
  }
}

void SimulatedProcess::end(ExitReport report) {
  if (!alive_) return;
  count_work();
  alive_ = false;
  ++plan_number_;
  listener_.process_ended(*this, std::move(report));
}

ProgressSample SimulatedProcess::sample() {
  count_work();
  return {static_cast<std::uint64_t>(progress_us_ / kProgressUs), cpu_us_, stopped_};
}

void SimulatedProcess::plan(TimeUs delay_us, void (SimulatedProcess::*step)()) {
  step_ = step;
  planned_us_ = timeline_.now() + delay_us;
  auto self = shared_from_this();
  timeline_.at(planned_us_, [self, number = ++plan_number_] {
    if (!self->alive_ || number != self->plan_number_) return;
    (*self.*std::exchange(self->step_, nullptr))();
  });
}

void SimulatedProcess::drop_plan() {
  ++plan_number_;
  step_ = nullptr;
}

void SimulatedProcess::run_front() {
  count_work();
  const SimulatedBatch& batch = batches_.front();
  outcome_ = outcome_of(batch);
  const double noise = 1 + scenario_.noise * (2 * random_.unit() - 1);
  compute_us_ = machine_.overhead_us +
                static_cast<TimeUs>(batch.tokens * 1e6 / machine_.tokens_per_s * noise);
  const bool finishes = outcome_ == Outcome::finish;
  plan(finishes ? compute_us_ : random_.between(0, compute_us_), &SimulatedProcess::reach_outcome);
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

void SimulatedProcess::become_ready() {
  ready_ = true;
  counted_until_us_ = timeline_.now();
  listener_.process_ready(*this);
}

void SimulatedProcess::reach_outcome() {
  switch (outcome_) {
    case Outcome::finish:
      return finish_front();
    case Outcome::crash:
      return end({ExitReport::Kind::signal, SIGABRT, false, "assertion failed"});
    case Outcome::hang:
      return hang();
    case Outcome::exhaust:
      if (machine_.refuses_when_exhausted) return refuse_front();
      return end({ExitReport::Kind::signal, SIGKILL, true, ""});
  }
}

// Rows in one frame or two, then the end.
void SimulatedProcess::finish_front() {
  count_work();
  const SimulatedBatch batch = std::move(batches_.front());
  batches_.pop_front();
  std::vector<std::uint64_t> results;
  for (const std::uint64_t payload : batch.payloads) results.push_back(simulated_result(payload));
  if (!results.empty()) {  // not a probe
    const auto cut = static_cast<std::uint32_t>(random_.below(results.size()));
    const auto middle = results.begin() + cut;
    if (cut > 0) listener_.process_rows(*this, batch.id, 0, {results.begin(), middle});
    listener_.process_rows(*this, batch.id, cut, {middle, results.end()});
  }
  listener_.process_batch_end(*this, batch.id, compute_us_, false);
  if (!batches_.empty()) run_front();
}

void SimulatedProcess::refuse_front() {
  count_work();
  const BatchId id = batches_.front().id;
  batches_.pop_front();
  drop_plan();
  listener_.process_batch_end(*this, id, 0, true);
  if (!batches_.empty()) run_front();
}

void SimulatedProcess::hang() {
  count_work();
  drop_plan();
  hung_ = true;
  hung_asleep_ = random_.chance(0.3);
}

void SimulatedProcess::stop() {
  if (!alive_ || stopped_) return;
  count_work();
  stopped_ = true;
  stopped_since_us_ = timeline_.now();
  left_us_ = std::max<TimeUs>(0, planned_us_ - timeline_.now());
  ++plan_number_;
}

void SimulatedProcess::resume() {
  if (!alive_ || !stopped_) return;
  count_work();
  stopped_ = false;
  if (step_ != nullptr)
    plan(left_us_, step_);
  else if (!hung_ && !batches_.empty())
    run_front();
}

// CPU time passes while there is work; progress is made while not hung.
void SimulatedProcess::count_work() {
  const TimeUs passed_us = timeline_.now() - counted_until_us_;
  counted_until_us_ = timeline_.now();
  if (batches_.empty() || stopped_ || hung_asleep_) return;
  cpu_us_ += passed_us;
  if (!hung_) progress_us_ += passed_us;
}

}  // namespace sheaf::core
