#include "core/replicas.h"

#include <algorithm>

#include "core/seconds.h"

namespace sheaf::core {
Replicas::Replicas(const CoreOptions& core, ModelId model, ReplicaId first, Random& seeds,
                   Outbox& outbox)
    : first_(first), no_replica_timeout_us_(core.no_replica_timeout_us), outbox_(outbox) {
  const ModelOptions& options = core.models[model];
  for (std::uint32_t i = 0; i < options.replicas; ++i)
    all_.emplace_back(core, options, seeds.next());
}

// ---- up and down

void Replicas::start(TimeUs now_us, std::uint32_t position) {
  outbox_.add(StartReplica{id(position), all_[position].supervisor.start(now_us)});
}

void Replicas::kill(std::uint32_t position, const Death& death) {
  Replica& replica = all_[position];
  replica.last_death = "killed: " + death.cause;
  outbox_.add(KillReplica{id(position), replica.supervisor.incarnation(), death.cause});
  outbox_.notice(Notice::Level::warn, name(position) + " is killed: " + death.cause);
  replica.supervisor.kill(death.failure);
}

void Replicas::ended_by_itself(TimeUs now_us, std::uint32_t position, const Death& death) {
  Replica& replica = all_[position];
  replica.last_death = death.cause;
  outbox_.notice(Notice::Level::warn, name(position) + " ended: " + death.cause);
  replica.supervisor.ended(now_us, death.failure);
}

void Replicas::restart(TimeUs now_us, std::uint32_t position) {
  Supervisor& supervisor = all_[position].supervisor;
  if (stopped_) return supervisor.stop();
  if (supervisor.start_is_due(now_us)) return start(now_us, position);
  const std::string wait = " in " + seconds(supervisor.next_us() - now_us);
  if (supervisor.state() == ReplicaState::broken)
    outbox_.notice(Notice::Level::error,
                   name(position) + " is broken: it failed too often; the next try is" + wait);
  else if (supervisor.state() == ReplicaState::backoff)
    outbox_.notice(Notice::Level::info, name(position) + " is started again" + wait);
}

void Replicas::wait(TimeUs now_us, std::uint32_t position, const std::string& reason) {
  Replica& replica = all_[position];
  if (reason.empty()) return replica.supervisor.wait_is_over(now_us);
  replica.supervisor.wait();
  replica.last_death = reason;
  outbox_.notice(Notice::Level::error, name(position) + " waits: " + reason);
}

void Replicas::stop_all() {
  stopped_ = true;
  for (std::uint32_t i = 0; i < size(); ++i) {
    Supervisor& supervisor = all_[i].supervisor;
    if (supervisor.runs(supervisor.incarnation()))
      outbox_.add(StopReplica{id(i), supervisor.incarnation()});
    if (supervisor.state() != ReplicaState::killing) supervisor.stop();
  }
}

TimeUs Replicas::next_us() const {
  TimeUs next_us = kNever;
  for (const Replica& replica : all_) next_us = std::min(next_us, replica.supervisor.next_us());
  return next_us;
}

// ---- together

double Replicas::ready_tokens_per_s() const {
  double total = 0;
  for (const Replica& replica : all_)
    if (replica.supervisor.is_ready()) total += replica.rate.tokens_per_s();
  return total;
}

double Replicas::all_tokens_per_s() const {
  double total = 0;
  for (const Replica& replica : all_) total += replica.rate.tokens_per_s();
  return total;
}

bool Replicas::rates_learnt() const {
  return std::ranges::all_of(all_, [](const Replica& replica) {
    return replica.rate.learnt() || !replica.supervisor.is_ready();
  });
}

std::uint64_t Replicas::tokens_in_flight(TimeUs now_us) const {
  std::uint64_t tokens = 0;
  for (const Replica& replica : all_)
    if (!replica.flight.empty())
      tokens += replica.rate.tokens_in(replica.flight.free_us(now_us, replica.rate) - now_us);
  return tokens;
}

// ---- starved

void Replicas::note_readiness(TimeUs now_us) {
  const bool ready = std::ranges::any_of(
      all_, [](const Replica& replica) { return replica.supervisor.is_ready(); });
  if (ready)
    no_ready_since_us_ = -1;
  else if (no_ready_since_us_ < 0)
    no_ready_since_us_ = now_us;
}

TimeUs Replicas::starved_from_us() const {
  return no_ready_since_us_ < 0 ? kNever : no_ready_since_us_ + no_replica_timeout_us_;
}

bool Replicas::starved(TimeUs now_us) const {
  if (no_ready_since_us_ < 0) return false;
  const TimeUs until_us = starved_from_us();
  return now_us >= until_us || std::ranges::all_of(all_, [until_us](const Replica& replica) {
           return replica.supervisor.state() == ReplicaState::broken &&
                  replica.supervisor.next_us() > until_us;
         });
}

Error Replicas::starved_error(TimeUs now_us) const {
  TimeUs wait_us = kNever;
  std::string why;
  for (const Replica& replica : all_) {
    const ReplicaState state = replica.supervisor.state();
    const bool starting = state == ReplicaState::starting;
    wait_us = std::min(wait_us, starting ? 0 : replica.supervisor.next_us() - now_us);
    if (state == ReplicaState::broken) why = "; last: " + replica.last_death;
    if (state == ReplicaState::waiting) why = "; one waits: " + replica.last_death;
  }
  return {ErrorCode::unavailable,
          "no replica has been ready for " + seconds(now_us - no_ready_since_us_) + why, "",
          static_cast<int>(std::clamp<TimeUs>(wait_us / 1'000'000 + 1, 1, 30))};
}

std::string Replicas::name(std::uint32_t position) const {
  return "replica " + std::to_string(id(position));
}

}  // namespace sheaf::core
