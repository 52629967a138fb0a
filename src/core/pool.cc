#include "core/pool.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "core/seconds.h"

namespace sheaf::core {
namespace {

// A request is due after this many times what it takes alone. So a query is not kept by an upload
// of thousands of texts that came before it, and requests of one size go in order of arrival; and
// the upload is not kept for ever by queries that come after it. A stream's message is due as if
// all that the stream has open were one request.
constexpr TimeUs kPatience = 3;

}  // namespace

Pool::Pool(const CoreOptions& core, ModelId model, ReplicaId first_replica, Outbox& outbox)
    : options_(core.models[model]),
      model_(model),
      outbox_(outbox),
      seeds_(core.seed + (std::uint64_t(model) << 32)),
      balancer_(make_balancer(options_.policy, seeds_.next())),
      replicas_(core, model, first_replica, seeds_, outbox) {}

// ---- requests: in and out

Status Pool::admit(TimeUs now_us, std::uint64_t tokens, StreamId stream) const {
  if (draining_) return Error{ErrorCode::unavailable, "the server is shutting down", "", 1};
  if (replicas_.starved(now_us)) return replicas_.starved_error(now_us);
  return check_queue_room(load(stream), tokens);
}

Status Pool::accepts(TimeUs now_us, const RequestSpec& spec, std::uint64_t tokens) const {
  if (spec.item_tokens.empty())
    return Error{ErrorCode::invalid_argument, "the request has no items"};
  if (spec.deadline_us <= now_us)
    return Error{ErrorCode::deadline_exceeded,
                 "the request's deadline passed before it was queued"};
  SHEAF_TRY(admit(now_us, tokens, spec.stream));
  const TimeUs left_us = spec.deadline_us - now_us;
  Load now = load(spec.stream);
  now.tokens_ahead = tokens_ahead(now_us, spec.tenant, queue_.tokens_of(spec.tenant), tokens);
  if (check_deadline(now, tokens, left_us, options_.target_batch_us).ok()) return {};
  // Perhaps not all of the tenant's own goes before it; that takes longer to find out.
  const std::uint64_t own = queue_.tokens_before(place_of(now_us, spec, tokens));
  now.tokens_ahead = tokens_ahead(now_us, spec.tenant, own, tokens);
  return check_deadline(now, tokens, left_us, options_.target_batch_us);
}

// Where it stands in the queue. Due no later than it must begin to end by its deadline; but a
// stream, whose answers go out in order, has nothing of a message that overtakes those before it.
Queue::Place Pool::place_of(TimeUs now_us, const RequestSpec& spec, std::uint64_t tokens) const {
  const Streams& streams = requests_.streams();
  const auto weight = static_cast<double>(tokens + streams.tokens(spec.stream));
  const auto alone_us =
      static_cast<TimeUs>(weight * 1e6 / std::max(replicas_.all_tokens_per_s(), 1.0));
  const TimeUs due_us = std::min(spec.deadline_us - alone_us, now_us + kPatience * alone_us);
  return {spec.tenant, std::max(due_us, streams.last_due_us(spec.stream)), spec.id};
}

void Pool::on_request(TimeUs now_us, const RequestSpec& spec) {
  const std::uint64_t tokens =
      std::accumulate(spec.item_tokens.begin(), spec.item_tokens.end(), std::uint64_t{0});
  if (Status status = accepts(now_us, spec, tokens); !status.ok())
    return refuse(spec.id, std::move(status).error());
  enqueue(now_us, requests_.add(now_us, spec, place_of(now_us, spec, tokens)), tokens);
  after_event(now_us);
}

void Pool::on_cancel(TimeUs now_us, RequestId request) {
  const Request* found = requests_.find(request);
  if (found == nullptr) return;
  end(*found);
  after_event(now_us);
}

// As a request of this stream sees it.
Load Pool::load(StreamId stream) const {
  Load load;
  load.queue_tokens = requests_.waiting_tokens();
  load.queue_tokens_max = queue_tokens_max();
  if (requests_.streams().tokens(stream) > 0) load.queue_tokens_max /= 2;  // see Core::admit()
  load.tokens_per_s = replicas_.ready_tokens_per_s();
  load.learnt = replicas_.rates_learnt();
  return load;
}

// What will run before the last item of a new request of this tenant, of which `own` tokens go
// before it. Not simply all that waits: the queue is fair, so a tenant with little in it waits for
// as much of each other tenant's.
std::uint64_t Pool::tokens_ahead(TimeUs now_us, TenantId tenant, std::uint64_t own,
                                 std::uint64_t tokens) const {
  const std::uint64_t others = queue_.tenants() - (queue_.tokens_of(tenant) > 0 ? 1 : 0);
  const std::uint64_t fair = own + others * (own + tokens);
  const std::uint64_t elsewhere = requests_.waiting_tokens() - queue_.tokens();
  return elsewhere + std::min(queue_.tokens(), fair) + replicas_.tokens_in_flight(now_us);
}

std::uint64_t Pool::queue_tokens_max() const {
  if (options_.queue_tokens_max != 0) return options_.queue_tokens_max;
  return default_queue_tokens_max(replicas_.all_tokens_per_s());
}

void Pool::enqueue(TimeUs now_us, Request& request, std::uint64_t tokens) {
  std::vector<QueuedItem> items;
  items.reserve(request.items.size());
  for (std::uint32_t i = 0; i < request.items.size(); ++i)
    items.push_back({{request.place.request, i}, request.items[i].tokens});

  std::vector<Candidate> candidates;
  const std::vector<std::uint32_t> positions = find_candidates(now_us, candidates);
  const auto choice = balancer_->bind(candidates, tokens);
  if (choice) request.bound = positions[*choice];
  Queue& queue = choice ? replicas_[*request.bound].bound : queue_;
  queue.push(request.place, items);
}

void Pool::answer(const Request& request) {
  outbox_.add(request.answer);
  end(request);
}

void Pool::refuse(const Request& request, Error error) {
  refuse(request.place.request, std::move(error));
  end(request);
}

void Pool::refuse(RequestId request, Error error) {
  outbox_.add(Refuse{request, std::move(error)});
}

// Forgets the request wherever it stands.
void Pool::end(const Request& request) {
  for (const RequestItem& item : request.items)
    if (item.state == RequestItem::State::sent) release(item);
  queue_.remove(request.place);
  if (request.bound) replicas_[*request.bound].bound.remove(request.place);
  inquest_.forget(request.place.request);
  requests_.remove(request);
}

// One item in flight that nobody waits for any more. The last one of a batch makes it pointless.
void Pool::release(const RequestItem& item) {
  Replica& replica = replicas_[item.replica];
  Batch* batch = replica.flight.find(item.batch);
  if (batch == nullptr || --batch->awaited > 0) return;
  outbox_.add(
      CancelBatch{replicas_.id(item.replica), replica.supervisor.incarnation(), item.batch});
}

void Pool::expire(TimeUs now_us) {
  while (requests_.first_deadline_us() <= now_us) {
    const Request& request = requests_.first();
    if (request.undone == 0) {  // only its batch's compute time is missing
      answer(request);
      continue;
    }
    refuse(request, {ErrorCode::deadline_exceeded,
                     "the request's deadline passed after " + seconds(now_us - request.arrived_us) +
                         ", with " + std::to_string(request.undone) + " of " +
                         std::to_string(request.items.size()) + " items to do"});
  }
}

void Pool::refuse_if_starved(TimeUs now_us) {
  if (!replicas_.starved(now_us)) return;
  while (!requests_.empty()) refuse(requests_.first(), replicas_.starved_error(now_us));
}

// ---- batches: out and back

void Pool::dispatch(TimeUs now_us) {
  dispatch_trials(now_us);
  dispatch_common(now_us);
  dispatch_bound(now_us);
}

void Pool::dispatch_trials(TimeUs now_us) {
  while (auto trial = inquest_.next(now_us)) send(now_us, trial->witness, std::move(trial->items));
}

void Pool::dispatch_common(TimeUs now_us) {
  std::vector<Candidate> candidates;
  while (!queue_.empty()) {
    const std::vector<std::uint32_t> positions = find_candidates(now_us, candidates);
    const auto share = balancer_->serve(now_us, queue_.tokens(), candidates);
    if (!share) return;
    const std::uint32_t position = positions[share->candidate];
    const BatchLimit limit = limit_for(now_us, replicas_[position], share->tokens);
    send(now_us, position, fill_batch(queue_, limit));
  }
}

void Pool::dispatch_bound(TimeUs now_us) {
  const TimeUs lead_us = second_batch_lead_us(options_);
  for (std::uint32_t i = 0; i < replicas_.size(); ++i) {
    Replica& replica = replicas_[i];
    while (!replica.bound.empty() && !inquest_.has_reserved(i) && replica.has_room(now_us, lead_us))
      send(now_us, i, fill_batch(replica.bound, limit_for(now_us, replica, kNever)));
  }
}

std::vector<std::uint32_t> Pool::find_candidates(TimeUs now_us, std::vector<Candidate>& out) const {
  const TimeUs lead_us = second_batch_lead_us(options_);
  const std::uint64_t bound_max = queue_tokens_max() / std::max(options_.replicas, 1U);
  std::vector<std::uint32_t> positions;
  out.clear();
  for (std::uint32_t i = 0; i < replicas_.size(); ++i) {
    const Replica& replica = replicas_[i];
    if (!replica.supervisor.is_ready() || inquest_.has_reserved(i)) continue;
    Candidate candidate;
    candidate.room = replica.has_room(now_us, lead_us);
    candidate.tokens_per_s = replica.rate.tokens_per_s();
    candidate.free_us = replica.flight.free_us(now_us, replica.rate);
    candidate.tokens_bound = replica.bound.tokens();
    candidate.tokens_bound_max = bound_max;
    candidate.tokens_open = replica.flight.tokens() + replica.bound.tokens();
    candidate.split_minimum = split_minimum(options_, replica.rate);
    positions.push_back(i);
    out.push_back(candidate);
  }
  return positions;
}

BatchLimit Pool::limit_for(TimeUs now_us, const Replica& replica, std::uint64_t share) const {
  BatchLimit limit;
  limit.tokens = batch_budget(options_, replica.rate, replica.limit_tokens(now_us));
  limit.share = share;
  limit.items = replica.limits.max_batch_items;
  return limit;
}

// Without items: a probe.
void Pool::send(TimeUs now_us, std::uint32_t position, std::vector<QueuedItem> items) {
  Replica& replica = replicas_[position];
  SendBatch action{replicas_.id(position),
                   replica.supervisor.incarnation(),
                   outbox_.next_batch++,
                   items.empty() ? 1U : 0U,
                   {}};
  action.items.reserve(items.size());
  for (const QueuedItem& item : items) {
    action.tokens += item.tokens;
    action.items.push_back(item.ref);
  }
  Batch batch;
  batch.id = action.batch;
  batch.tokens = action.tokens;
  batch.awaited = static_cast<std::uint32_t>(items.size());
  batch.done.resize(items.size());
  batch.items = std::move(items);
  requests_.sent(batch, position);
  if (replica.flight.empty()) replica.watchdog.restart(now_us);
  replica.flight.add(now_us, std::move(batch));
  outbox_.add(std::move(action));
}

void Pool::on_items_done(TimeUs now_us, std::uint32_t position, Incarnation incarnation, BatchId id,
                         std::uint32_t first, std::uint32_t count) {
  Replica& replica = replicas_[position];
  if (!replica.supervisor.runs(incarnation)) return;
  Batch* batch = replica.flight.find(id);
  if (batch == nullptr) return;
  // What others do beside the oldest does not say that it does not hang.
  if (id == replica.flight.oldest().id) replica.watchdog.advanced(now_us);
  const std::size_t end = std::min<std::size_t>(std::size_t(first) + count, batch->items.size());
  for (std::size_t i = first; i < end; ++i) {
    if (batch->done[i]) continue;
    batch->done[i] = true;
    requests_.done(*batch, i, replicas_.id(position));
  }
}

void Pool::on_batch_done(TimeUs now_us, std::uint32_t position, Incarnation incarnation, BatchId id,
                         TimeUs compute_us, const Error* failure) {
  Replica& replica = replicas_[position];
  if (!replica.supervisor.runs(incarnation) || replica.flight.find(id) == nullptr) return;
  if (id == replica.flight.oldest().id) replica.watchdog.restart(now_us);
  const Batch batch = replica.flight.finish(now_us, id);
  inquest_.batch_ended(position);
  if (failure != nullptr && batch.items.empty()) {
    kill(now_us, position, {Blame::none, true, "it refuses even a probe: " + failure->message});
    return after_event(now_us);
  }

  const bool complete = std::find(batch.done.begin(), batch.done.end(), false) == batch.done.end();
  if (failure == nullptr) {
    replica.supervisor.batch_finished(now_us);
    last_batch_end_us_ = now_us;
  }
  // The time of one that was cut short, or of a probe, says nothing.
  if (complete && !batch.items.empty()) {
    replica.count(now_us, batch, compute_us);
  }
  requests_.note_compute_time(now_us, batch, compute_us);
  settle(now_us, position, batch, complete ? Blame::none : Blame::too_large,
         failure != nullptr ? failure->message : "left out by its batch");
  after_event(now_us);
}

// A batch is over, one way or another: answers what is complete, runs the rest again.
void Pool::settle(TimeUs now_us, std::uint32_t position, const Batch& batch, Blame blame,
                  const std::string& cause) {
  answer_completed(batch);
  if (blame == Blame::too_large && batch.items.size() > 1 && batch.awaited > 0)
    replicas_[position].note_too_large(now_us, batch.tokens, options_.max_length);
  std::vector<QueuedItem> undone = requests_.take_back(batch);
  if (blame == Blame::none) {
    for (const QueuedItem& item : undone)
      queue_.push_front(requests_.find(item.ref.request)->place, item);
    return;
  }
  auto verdict = inquest_.accuse(now_us, {position, std::move(undone), batch.alone, blame, cause});
  if (verdict) refuse_poisonous(std::move(*verdict));
}

void Pool::answer_completed(const Batch& batch) {
  for (const QueuedItem& item : batch.items) {
    const Request* request = requests_.find(item.ref.request);
    if (request == nullptr) continue;
    if (request->undone == 0 && request->last_batch == batch.id) answer(*request);
  }
}

void Pool::refuse_poisonous(Inquest::Verdict verdict) {
  outbox_.notice(Notice::Level::error,
                 "request " + std::to_string(verdict.request) + ": " + verdict.error.message);
  refuse(*requests_.find(verdict.request), std::move(verdict.error));
}

// ---- replicas

void Pool::start(TimeUs now_us) {
  for (std::uint32_t i = 0; i < replicas_.size(); ++i) replicas_.start(now_us, i);
  after_event(now_us);
}

void Pool::on_ready(TimeUs now_us, std::uint32_t position, Incarnation incarnation,
                    const ReplicaReady& limits) {
  Replica& replica = replicas_[position];
  if (!replica.supervisor.runs(incarnation) || replica.supervisor.is_ready()) return;
  replica.limits = limits;
  replica.flight.set_lanes(limits.lanes);
  replica.supervisor.ready();
  replica.watchdog.restart(now_us);
  after_event(now_us);
}

void Pool::on_waits(TimeUs now_us, std::uint32_t position, Incarnation incarnation,
                    const std::string& reason) {
  if (!replicas_[position].supervisor.runs(incarnation)) return;
  replicas_.wait(now_us, position, reason);
  after_event(now_us);
}

void Pool::on_exit(TimeUs now_us, std::uint32_t position, Incarnation incarnation,
                   const ExitReport& report) {
  Replica& replica = replicas_[position];
  Supervisor& supervisor = replica.supervisor;
  const bool killed = supervisor.state() == ReplicaState::killing;
  if (incarnation != supervisor.incarnation() || !(killed || supervisor.runs(incarnation))) return;
  if (killed) {  // by us: its work was taken back and the reason noted then
    supervisor.ended(now_us, supervisor.was_killed_for_failure());
  } else {
    const Death death = judge(report, replica.flight.items_running());
    replicas_.ended_by_itself(now_us, position, death);
    lose_work(now_us, position, death);
  }
  replicas_.restart(now_us, position);
  after_event(now_us);
}

void Pool::on_progress(TimeUs now_us, std::uint32_t position, Incarnation incarnation,
                       const ProgressSample& sample) {
  Replica& replica = replicas_[position];
  if (!replica.supervisor.runs(incarnation)) return;
  const Flight& flight = replica.flight;
  const TimeUs expected_us =
      flight.empty() ? 0 : std::max<TimeUs>(1, replica.rate.time_for(flight.tokens_running()));
  ProgressSample of_a_lane = sample;
  of_a_lane.cpu_us /= replica.limits.lanes;
  const auto death = judge(replica.watchdog.judge(now_us, of_a_lane, expected_us));
  if (death) kill(now_us, position, *death);
  after_event(now_us);  // an overdue replica's share of the queue falls as time goes by
}

// Its work is taken back at once: nothing depends on how soon the process can be reaped.
void Pool::kill(TimeUs now_us, std::uint32_t position, const Death& death) {
  replicas_.kill(position, death);
  lose_work(now_us, position, death);
}

// Batches begin in order, so only those that ran can be to blame; what lay behind was not begun.
void Pool::lose_work(TimeUs now_us, std::uint32_t position, const Death& death) {
  Replica& replica = replicas_[position];
  inquest_.replica_ended(position);
  replica.bound.move_all_to(queue_);
  const std::size_t running = replica.flight.running();
  const std::deque<Batch> batches = replica.flight.take_all();
  for (std::size_t i = 0; i < batches.size(); ++i)
    settle(now_us, position, batches[i], i < running ? death.blame : Blame::none, death.cause);
}

void Pool::on_tick(TimeUs now_us) {
  for (std::uint32_t i = 0; i < replicas_.size(); ++i) {
    const Supervisor& supervisor = replicas_[i].supervisor;
    if (supervisor.start_timed_out(now_us))
      kill(now_us, i, {Blame::none, true, "not ready in time"});
    else if (supervisor.start_is_due(now_us))
      replicas_.start(now_us, i);
  }
  after_event(now_us);
}

void Pool::on_drain(TimeUs now_us) {
  draining_ = true;
  after_event(now_us);
}

// What may follow from any event: deadlines, starvation, new batches, the end of a drain.
void Pool::after_event(TimeUs now_us) {
  last_event_us_ = now_us;
  replicas_.note_readiness(now_us);
  expire(now_us);
  refuse_if_starved(now_us);
  dispatch(now_us);
  if (draining_ && !replicas_.stopped() && requests_.empty()) replicas_.stop_all();
}

TimeUs Pool::next_tick_us() const {
  TimeUs next_us = std::min(replicas_.next_us(), requests_.first_deadline_us());
  if (!requests_.empty()) next_us = std::min(next_us, replicas_.starved_from_us());
  if (requests_.waiting_items() == 0) return next_us;
  const TimeUs lead_us = second_batch_lead_us(options_);
  for (const Replica& replica : replicas_)
    next_us = std::min(next_us, replica.room_us(last_event_us_, lead_us));
  return next_us;
}

// ---- what is shown

ReplicaStatus Pool::replica_status(std::uint32_t position) const {
  return replicas_[position].status(model_);
}

ModelStatus Pool::status() const {
  ModelStatus status;
  status.queue_items = requests_.waiting_items();
  status.queue_tokens = requests_.waiting_tokens();
  status.queue_tokens_max = queue_tokens_max();
  for (const Replica& replica : replicas_) status.replicas_ready += replica.supervisor.is_ready();
  status.last_batch_end_us = last_batch_end_us_;
  return status;
}

}  // namespace sheaf::core
