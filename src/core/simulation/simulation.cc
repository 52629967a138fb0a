#include "core/simulation/simulation.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <limits>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <set>
#include <utility>

#include "core/random.h"
#include "core/simulation/simulated_process.h"
#include "core/simulation/timeline.h"

namespace sheaf::core {
namespace {

constexpr TimeUs kSampleUs = 50'000;
constexpr TimeUs kTickLateUs = 1'000;  // at most
constexpr TimeUs kSettleUs = 300'000'000;
constexpr TimeUs kSliceWaitMaxUs = 30'000'000;
constexpr std::size_t kViolationsMax = 10;

std::uint64_t payload_of(const ItemRef& item) { return item.request << 20 | item.index; }

struct Client {
  const Scenario::Arrival* arrival = nullptr;
  std::optional<TimeUs> arrived_us;
  bool ended = false;
  std::vector<std::optional<std::uint64_t>> results;
  std::vector<BatchId> in_batch;  // one an item; 0: in none
  std::vector<bool> struck;       // by a fault that was not its own; one an item
};

struct OpenBatch {
  ReplicaId replica = 0;
  Incarnation incarnation = 0;
  std::vector<ItemRef> items;
};

// Whether all of a model's replicas may be gone for as long as requests wait; poisonous texts alone
// must not bring it about. One whose slice vanished may wait for another as long as it takes.
bool may_break(const Scenario& scenario) {
  return scenario.start_failure > 0 || scenario.faults.size() > 1 ||
         std::ranges::find(scenario.faults, Scenario::FaultKind::lose_slice,
                           &Scenario::Fault::kind) != scenario.faults.end();
}

class World : public ProcessListener {
 public:
  World(const Scenario& scenario, bool keep_log)
      : scenario_(scenario),
        keep_log_(keep_log),
        fleet_may_break_(may_break(scenario)),
        random_(scenario.seed ^ 0x5eaf),
        core_(scenario.core),
        processes_(scenario.machines.size()),
        last_frame_us_(scenario.machines.size()) {}

  SimulationReport run();

  void process_ready(SimulatedProcess& process) override;
  void process_rows(SimulatedProcess& process, BatchId batch, std::uint32_t first,
                    std::vector<std::uint64_t> results) override;
  void process_batch_end(SimulatedProcess& process, BatchId batch, TimeUs compute_us,
                         bool failed) override;
  void process_ended(SimulatedProcess& process, ExitReport report) override;

 private:
  TimeUs now() const { return timeline_.now(); }

  // What is planned from the start.
  void plan_clients();
  void plan_faults();
  void plan_samples();
  void plan_arrival(const Scenario::Arrival& arrival);
  void arrive(const Scenario::Arrival& arrival);
  void cancel(RequestId request);
  void strike(const Scenario::Fault& fault);
  TimeUs hang_cpu_us(ReplicaId replica) const;
  bool spares_innocents(const SimulatedProcess& process);
  void expect_killed(const std::shared_ptr<SimulatedProcess>& process, TimeUs within_us,
                     const char* why);
  void drain();

  // The driver: between core and processes.
  void deliver(SimulatedProcess& process, std::function<void()> frame);
  void take_rows(BatchId batch, std::uint32_t first, const std::vector<std::uint64_t>& results);
  void close_batch(BatchId batch);
  void close_batches_of(ReplicaId replica, Incarnation incarnation);
  void after_core();
  void plan_tick();
  void perform(const SendBatch& send);
  void perform(const CancelBatch& cancel);
  void perform(const Answer& answer);
  void perform(const Refuse& refuse);
  void perform(const StartReplica& start);
  void perform(const StopReplica& stop);
  void perform(const KillReplica& kill);
  void perform(const Notice& notice);
  void wait_for_slice(const std::shared_ptr<SimulatedProcess>& process);
  SimulatedProcess* live(ReplicaId replica, Incarnation incarnation);

  // Judgement.
  void check_item_sent(const SendBatch& send, const ItemRef& item);
  void check_refusal(const Client& client, const Refuse& refuse);
  void note_readiness();
  void end_client(RequestId request, const char* how);
  bool settled() const;
  void check_end();
  TimeUs unready_for(ModelId model) const;
  bool all_broken(ModelId model) const;
  void violation(const std::string& text);

  template <class... Args>
  void log(fmt::format_string<Args...> format, Args&&... args);

  const Scenario& scenario_;
  const bool keep_log_;
  const bool fleet_may_break_;
  Random random_;
  Timeline timeline_;
  Core core_;
  std::map<RequestId, Client> clients_;
  std::size_t to_arrive_ = 0;                                     // of them
  std::multimap<RequestId, const Scenario::Arrival*> followers_;  // of a request that has not ended
  std::vector<std::shared_ptr<SimulatedProcess>> processes_;  // by ReplicaId; null before the first
  std::vector<TimeUs> last_frame_us_;  // by ReplicaId: frames of one replica keep their order
  std::set<ReplicaId> without_slice_;  // whose last one vanished
  std::map<BatchId, OpenBatch> batches_;
  std::map<ModelId, TimeUs> unready_since_us_;
  std::optional<RequestId> arriving_;
  TimeUs planned_tick_us_ = std::numeric_limits<TimeUs>::max();
  bool draining_ = false;
  std::uint64_t hash_ = 0xcbf29ce484222325ULL;
  SimulationReport report_;
};

template <class... Args>
void World::log(fmt::format_string<Args...> format, Args&&... args) {
  fmt::memory_buffer line;
  fmt::format_to(std::back_inserter(line), "{:>10} ", now());
  fmt::format_to(std::back_inserter(line), format, std::forward<Args>(args)...);
  line.push_back('\n');
  for (const char byte : line) hash_ = (hash_ ^ static_cast<unsigned char>(byte)) * 0x100000001b3;
  if (keep_log_) report_.log.append(line.begin(), line.end());
}

SimulationReport World::run() {
  plan_clients();
  plan_faults();
  plan_samples();
  core_.start(now());
  after_core();
  const TimeUs end_us = scenario_.faults_end_us + kSettleUs;
  while (!timeline_.empty() && now() < end_us && report_.violations.empty() && !settled())
    timeline_.run_next();
  check_end();
  report_.log_hash = hash_;
  return std::move(report_);
}

// ---- what is planned from the start

void World::plan_clients() {
  for (const Scenario::Arrival& arrival : scenario_.arrivals) {
    Client& client = clients_[arrival.request.id];
    client.arrival = &arrival;
    client.results.resize(arrival.texts.size());
    client.in_batch.resize(arrival.texts.size());
    client.struck.resize(arrival.texts.size());
    ++to_arrive_;
    if (arrival.after)
      followers_.emplace(*arrival.after, &arrival);
    else
      plan_arrival(arrival);
  }
}

void World::plan_arrival(const Scenario::Arrival& arrival) {
  timeline_.at(std::max(now(), arrival.at_us), [this, &arrival] { arrive(arrival); });
  if (arrival.cancel_us)
    timeline_.at(*arrival.cancel_us, [this, id = arrival.request.id] { cancel(id); });
}

void World::plan_faults() {
  for (const Scenario::Fault& fault : scenario_.faults)
    timeline_.at(fault.at_us, [this, &fault] { strike(fault); });
  if (scenario_.drain_us) timeline_.at(*scenario_.drain_us, [this] { drain(); });
}

void World::plan_samples() {
  timeline_.after(kSampleUs, [this] {
    for (const auto& process : processes_) {
      if (!process || !process->alive() || !process->busy()) continue;
      const ProgressSample sample = process->sample();
      log("sample {}.{} {} {} {}", process->replica(), process->incarnation(), sample.counter,
          sample.cpu_us, sample.stopped);
      core_.on_progress(now(), process->replica(), process->incarnation(), sample);
      after_core();
    }
    plan_samples();
  });
}

void World::arrive(const Scenario::Arrival& arrival) {
  log("request {} of {} items", arrival.request.id, arrival.texts.size());
  Client& client = clients_.at(arrival.request.id);
  client.arrived_us = now();
  --to_arrive_;
  arriving_ = arrival.request.id;
  const ModelStatus before = core_.model_status(arrival.request.model);
  core_.on_request(now(), arrival.request);
  after_core();
  arriving_.reset();
  const auto& tokens = arrival.request.item_tokens;
  const std::uint64_t wanted = std::accumulate(tokens.begin(), tokens.end(), std::uint64_t{0});
  if (!client.ended && before.queue_tokens > 0 &&
      before.queue_tokens + wanted > before.queue_tokens_max)
    violation(fmt::format("request {} is taken beyond the queue's bound", arrival.request.id));
}

void World::cancel(RequestId request) {
  log("cancel {}", request);
  core_.on_cancel(now(), request);
  if (!clients_.at(request).ended) {
    end_client(request, "cancelled");
    ++report_.cancelled;
  }
  after_core();
}

void World::strike(const Scenario::Fault& fault) {
  const auto process = processes_[fault.replica];
  if (!process || !process->alive()) return;
  using Kind = Scenario::FaultKind;
  const bool blames = fault.kind == Kind::crash || fault.kind == Kind::leave ||
                      fault.kind == Kind::hang || fault.kind == Kind::broken_frames ||
                      fault.kind == Kind::refuse_batch;
  if (blames && !spares_innocents(*process)) return;
  if (fault.kind == Kind::hang && !process->busy()) return;  // it would strike whatever comes next
  log("fault {} at {}.{}", static_cast<int>(fault.kind), process->replica(),
      process->incarnation());
  process->suffer(fault.kind);
  if (fault.kind == Kind::lose_slice) without_slice_.insert(fault.replica);
  if (fault.kind == Kind::stop) expect_killed(process, 2 * kSampleUs, "stopped");
  if (fault.kind == Kind::hang && process->hung_busy())
    expect_killed(process, hang_cpu_us(fault.replica) + 4 * kSampleUs, "hung");
}

// Time of a processor is a lane's share of what the process used.
TimeUs World::hang_cpu_us(ReplicaId replica) const {
  return scenario_.machines[replica].limits.lanes * scenario_.core.hang_cpu_us;
}

// A fault that looks like a text's doing may strike a text once: two by chance, each while it runs
// alone, would rightly have it refused.
bool World::spares_innocents(const SimulatedProcess& process) {
  std::vector<ItemRef> at_stake;
  for (const auto& [id, batch] : batches_)
    if (batch.replica == process.replica())
      at_stake.insert(at_stake.end(), batch.items.begin(), batch.items.end());
  for (const ItemRef& item : at_stake)
    if (clients_.at(item.request).struck[item.index]) return false;
  for (const ItemRef& item : at_stake) clients_.at(item.request).struck[item.index] = true;
  return true;
}

void World::expect_killed(const std::shared_ptr<SimulatedProcess>& process, TimeUs within_us,
                          const char* why) {
  if (!process->busy()) return;
  timeline_.after(within_us, [this, process, why, struck_us = now()] {
    const bool stopped_since = process->stopped() && process->stopped_since_us() <= struck_us;
    const bool recovered = !stopped_since && !process->hung_busy();
    if (!process->alive() || recovered) return;
    const ReplicaStatus status = core_.replica_status(process->replica());
    if (status.state == ReplicaState::ready && status.incarnation == process->incarnation())
      violation(fmt::format("replica {} is {} at work and not killed", process->replica(), why));
  });
}

void World::drain() {
  log("drain");
  draining_ = true;
  core_.on_drain(now());
  after_core();
}

// ---- the driver

// Frames take a moment, keep their order, may arrive twice, and outlive their process.
void World::deliver(SimulatedProcess& process, std::function<void()> frame) {
  TimeUs& last_us = last_frame_us_[process.replica()];
  const TimeUs latest_us = random_.chance(0.02) ? 20'000 : 300;
  last_us = std::max(last_us, now() + random_.between(10, latest_us));
  if (random_.chance(scenario_.repeated_frame)) timeline_.at(last_us, frame);
  timeline_.at(last_us, std::move(frame));
}

void World::process_ready(SimulatedProcess& process) {
  const ReplicaId replica = process.replica();
  deliver(process, [this, replica, incarnation = process.incarnation()] {
    log("ready {}.{}", replica, incarnation);
    core_.on_replica_ready(now(), replica, incarnation, scenario_.machines[replica].limits);
    after_core();
  });
}

void World::process_rows(SimulatedProcess& process, BatchId batch, std::uint32_t first,
                         std::vector<std::uint64_t> results) {
  const ReplicaId replica = process.replica();
  deliver(process, [this, replica, incarnation = process.incarnation(), batch, first,
                    results = std::move(results)] {
    log("rows {}.{} batch {} {}+{}", replica, incarnation, batch, first, results.size());
    take_rows(batch, first, results);
    core_.on_items_done(now(), replica, incarnation, batch, first,
                        static_cast<std::uint32_t>(results.size()));
    after_core();
  });
}

void World::process_batch_end(SimulatedProcess& process, BatchId batch, TimeUs compute_us,
                              bool failed) {
  const ReplicaId replica = process.replica();
  deliver(process, [this, replica, incarnation = process.incarnation(), batch, compute_us, failed] {
    log("done {}.{} batch {} {} {}", replica, incarnation, batch, compute_us, failed);
    const Error error{ErrorCode::internal, "out of memory"};
    close_batch(batch);
    core_.on_batch_done(now(), replica, incarnation, batch, compute_us, failed ? &error : nullptr);
    after_core();
  });
}

void World::process_ended(SimulatedProcess& process, ExitReport report) {
  ++report_.deaths;
  const ReplicaId replica = process.replica();
  timeline_.after(random_.between(10, 3'000),
                  [this, replica, incarnation = process.incarnation(), report = std::move(report)] {
                    log("exit {}.{} {} {} {}", replica, incarnation, static_cast<int>(report.kind),
                        report.value, report.out_of_memory);
                    close_batches_of(replica, incarnation);
                    core_.on_replica_exit(now(), replica, incarnation, report);
                    after_core();
                  });
}

void World::take_rows(BatchId id, std::uint32_t first, const std::vector<std::uint64_t>& results) {
  const auto batch = batches_.find(id);
  if (batch == batches_.end()) return;
  for (std::size_t i = 0; i < results.size(); ++i) {
    const ItemRef& item = batch->second.items[first + i];
    clients_.at(item.request).results[item.index] = results[i];
  }
}

void World::close_batch(BatchId id) {
  const auto batch = batches_.find(id);
  if (batch == batches_.end()) return;
  for (const ItemRef& item : batch->second.items) {
    BatchId& in_batch = clients_.at(item.request).in_batch[item.index];
    if (in_batch == id) in_batch = 0;
  }
  batches_.erase(batch);
}

void World::close_batches_of(ReplicaId replica, Incarnation incarnation) {
  std::vector<BatchId> closed;
  for (const auto& [id, batch] : batches_)
    if (batch.replica == replica && batch.incarnation == incarnation) closed.push_back(id);
  for (const BatchId id : closed) close_batch(id);
}

void World::after_core() {
  for (const Action& action : core_.take_actions())
    std::visit([this](const auto& what) { perform(what); }, action);
  note_readiness();
  plan_tick();
}

void World::plan_tick() {
  const TimeUs next_us = core_.next_tick_us();
  if (next_us == std::numeric_limits<TimeUs>::max() || next_us >= planned_tick_us_) return;
  planned_tick_us_ = next_us;
  timeline_.at(next_us + random_.between(0, kTickLateUs), [this] {
    log("tick");
    planned_tick_us_ = std::numeric_limits<TimeUs>::max();
    core_.on_tick(now());
    after_core();
  });
}

void World::perform(const SendBatch& send) {
  log("> send {}.{} batch {}: {} items, {} tokens", send.replica, send.incarnation, send.batch,
      send.items.size(), send.tokens);
  ++report_.batches;
  SimulatedBatch batch{send.batch, send.tokens, {}, {}};
  std::uint32_t tokens = 0;
  for (const ItemRef& item : send.items) {
    check_item_sent(send, item);
    const Scenario::Arrival& arrival = *clients_.at(item.request).arrival;
    tokens += arrival.request.item_tokens[item.index];
    batch.payloads.push_back(payload_of(item));
    batch.texts.push_back(arrival.texts[item.index]);
  }
  const ReplicaReady& limits = scenario_.machines[send.replica].limits;
  const bool fits =
      tokens <= limits.max_batch_tokens && send.items.size() <= limits.max_batch_items;
  const bool probe = send.items.empty() && send.tokens == 1;
  if ((tokens != send.tokens && !probe) || (!fits && send.items.size() > 1))
    violation(fmt::format("batch {} does not fit its replica or its sum", send.batch));
  batches_[send.batch] = {send.replica, send.incarnation, send.items};
  const auto beside = std::count_if(batches_.begin(), batches_.end(), [&](const auto& open) {
    return open.second.replica == send.replica && open.second.incarnation == send.incarnation;
  });
  if (beside > limits.lanes + 1)
    violation(fmt::format("replica {} has {} batches", send.replica, beside));
  SimulatedProcess* process = live(send.replica, send.incarnation);
  if (process == nullptr) return;
  if (process->alive() && !process->is_ready())
    violation(fmt::format("replica {} is sent work before it is ready", send.replica));
  process->submit(std::move(batch));
}

void World::perform(const CancelBatch& cancel) { log("> cancel batch {}", cancel.batch); }

void World::perform(const Answer& answer) {
  log("> answer {} attempts {} queue {} compute {}", answer.request, answer.attempts,
      answer.queue_us, answer.compute_us);
  const Client& client = clients_.at(answer.request);
  for (std::uint32_t i = 0; i < client.results.size(); ++i) {
    if (client.arrival->texts[i] != Scenario::Text::innocent)
      violation(fmt::format("request {} was answered in spite of its item {}", answer.request, i));
    if (client.results[i] != simulated_result(payload_of({answer.request, i})))
      violation(fmt::format("request {}: item {} has {} result", answer.request, i,
                            client.results[i] ? "another's" : "no"));
    else
      report_.tokens_answered += client.arrival->request.item_tokens[i];
  }
  ++report_.answered;
  report_.answered_after_us[answer.request] = now() - client.arrived_us.value_or(0);
  end_client(answer.request, "answered");
}

void World::perform(const Refuse& refuse) {
  log("> refuse {} {}: {}", refuse.request, name_of(refuse.error.code), refuse.error.message);
  check_refusal(clients_.at(refuse.request), refuse);
  ++report_.refused[refuse.error.code];
  end_client(refuse.request, "refused");
}

void World::perform(const StartReplica& start) {
  log("> start {}.{}", start.replica, start.incarnation);
  auto& process = processes_[start.replica];
  if (process && process->alive())
    violation(fmt::format("replica {} is started twice", start.replica));
  process = std::make_shared<SimulatedProcess>(start.replica, start.incarnation, scenario_,
                                               timeline_, random_, *this);
  if (without_slice_.erase(start.replica) == 0 || random_.chance(0.5)) return process->start();
  wait_for_slice(process);
}

// As the fleet does: it says so a moment later, and again when there is one.
void World::wait_for_slice(const std::shared_ptr<SimulatedProcess>& process) {
  const auto tell = [this, process](const char* reason) {
    log("waits {}.{} {}", process->replica(), process->incarnation(), reason);
    core_.on_replica_waits(now(), process->replica(), process->incarnation(), reason);
    after_core();
  };
  timeline_.after(random_.between(10, 1'000), [tell] { tell("slice mig:0/3 vanished"); });
  timeline_.after(random_.between(2'000, kSliceWaitMaxUs), [tell, process] {
    if (!process->alive()) return;  // stopped meanwhile
    tell("");
    process->start();
  });
}

void World::perform(const StopReplica& stop) {
  log("> stop {}.{}", stop.replica, stop.incarnation);
  if (!draining_) violation("a replica is stopped though nothing drains");
  SimulatedProcess* process = live(stop.replica, stop.incarnation);
  if (process != nullptr) process->end({ExitReport::Kind::exit_code, 0, false, ""});
}

void World::perform(const KillReplica& kill) {
  log("> kill {}.{}: {}", kill.replica, kill.incarnation, kill.reason);
  close_batches_of(kill.replica, kill.incarnation);
  const auto process = processes_[kill.replica];
  timeline_.after(random_.between(10, 2'000), [process, incarnation = kill.incarnation] {
    if (process->incarnation() == incarnation) process->suffer(Scenario::FaultKind::kill);
  });
}

void World::perform(const Notice& notice) { log("> notice: {}", notice.text); }

SimulatedProcess* World::live(ReplicaId replica, Incarnation incarnation) {
  SimulatedProcess* process = processes_[replica].get();
  if (process == nullptr || process->incarnation() != incarnation) {
    violation(fmt::format("an order for {}.{}, which is not its process", replica, incarnation));
    return nullptr;
  }
  return process;
}

// ---- judgement

void World::check_item_sent(const SendBatch& send, const ItemRef& item) {
  Client& client = clients_.at(item.request);
  if (client.ended)
    violation(fmt::format("batch {} runs request {}, which has ended", send.batch, item.request));
  if (client.in_batch[item.index] != 0)
    violation(fmt::format("item {}.{} is in two batches", item.request, item.index));
  if (client.results[item.index])
    violation(fmt::format("item {}.{} is run again though done", item.request, item.index));
  client.in_batch[item.index] = send.batch;
}

void World::check_refusal(const Client& client, const Refuse& refuse) {
  const RequestSpec& spec = client.arrival->request;
  bool reason = false;
  switch (refuse.error.code) {
    case ErrorCode::poisonous:
      for (std::size_t i = 0; i < client.arrival->texts.size(); ++i)
        reason |= client.arrival->texts[i] != Scenario::Text::innocent &&
                  refuse.error.param == fmt::format("input[{}]", i);
      break;
    case ErrorCode::deadline_exceeded:
      reason = now() >= spec.deadline_us;
      break;
    case ErrorCode::unavailable:
      reason =
          refuse.error.retry_after_s > 0 &&
          ((draining_ && arriving_ == refuse.request) ||
           (fleet_may_break_ && (unready_for(spec.model) >= scenario_.core.no_replica_timeout_us ||
                                 all_broken(spec.model))));
      break;
    case ErrorCode::overloaded:
      reason = refuse.error.retry_after_s > 0 && arriving_ == refuse.request;
      break;
    default:
      break;
  }
  if (!reason)
    violation(fmt::format("request {} is refused without reason: {}", refuse.request,
                          refuse.error.message));
}

void World::note_readiness() {
  for (ModelId model = 0; model < scenario_.core.models.size(); ++model) {
    const ModelStatus status = core_.model_status(model);
    if (status.replicas_ready > 0)
      unready_since_us_.erase(model);
    else
      unready_since_us_.try_emplace(model, now());
  }
}

void World::end_client(RequestId request, const char* how) {
  Client& client = clients_.at(request);
  if (!client.arrived_us || client.ended)
    violation(fmt::format("request {} is {} though {}", request, how,
                          client.ended ? "it has ended" : "it has not arrived"));
  client.ended = true;
  if (now() > client.arrival->request.deadline_us + kTickLateUs)
    violation(fmt::format("request {} is {} after its deadline", request, how));
  const auto [first, last] = followers_.equal_range(request);
  for (auto follower = first; follower != last; ++follower) plan_arrival(*follower->second);
  followers_.erase(first, last);
}

bool World::all_broken(ModelId model) const {
  for (ReplicaId id = 0; id < core_.replica_count(); ++id) {
    const ReplicaStatus status = core_.replica_status(id);
    const bool over = status.state == ReplicaState::broken ||
                      (draining_ && status.state == ReplicaState::stopped);
    if (status.model == model && !over) return false;
  }
  return true;
}

TimeUs World::unready_for(ModelId model) const {
  const auto since = unready_since_us_.find(model);
  return since == unready_since_us_.end() ? 0 : now() - since->second;
}

bool World::settled() const {
  if (now() < scenario_.faults_end_us) return false;
  if (to_arrive_ > 0 || core_.open_requests() > 0) return false;
  if (draining_) return core_.drained();
  for (ReplicaId replica = 0; replica < core_.replica_count(); ++replica)
    if (core_.replica_status(replica).state != ReplicaState::ready || processes_[replica]->busy())
      return false;
  return true;
}

void World::check_end() {
  if (!report_.violations.empty()) return;
  for (const auto& [id, client] : clients_)
    if (client.arrived_us && !client.ended) violation(fmt::format("request {} never ends", id));
  if (!settled()) violation("the fleet does not settle after the last fault");
  for (ModelId model = 0; model < scenario_.core.models.size(); ++model) {
    const ModelStatus status = core_.model_status(model);
    if (status.queue_items != 0 || status.queue_tokens != 0)
      violation(fmt::format("{} items, {} tokens are left in the queue", status.queue_items,
                            status.queue_tokens));
  }
}

void World::violation(const std::string& text) {
  log("VIOLATION {}", text);
  if (report_.violations.size() < kViolationsMax)
    report_.violations.push_back(fmt::format("at {} us: {}", now(), text));
}

}  // namespace

SimulationReport simulate(const Scenario& scenario, bool keep_log) {
  return World(scenario, keep_log).run();
}

}  // namespace sheaf::core
