#include "core/pool.h"

#include <algorithm>
#include <limits>
#include <optional>

namespace sheaf::core {
namespace {

constexpr TimeUs kNever = std::numeric_limits<TimeUs>::max();
constexpr std::uint8_t kStrikesMax = 2;
// A request is due after this many times what it takes alone. So a query is not kept by an upload
// of thousands of texts that came before it, and requests of one size go in order of arrival.
constexpr TimeUs kPatience = 3;

std::uint64_t sum(const std::vector<std::uint32_t>& tokens) {
  std::uint64_t total = 0;
  for (const std::uint32_t count : tokens) total += count;
  return total;
}

std::string seconds(TimeUs time_us) {
  const TimeUs tenths = (time_us + 50'000) / 100'000;
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " s";
}

}  // namespace

Pool::Pool(const CoreOptions& core, ModelId model, ReplicaId first_replica, Outbox& outbox)
    : options_(core.models[model]),
      no_replica_timeout_us_(core.no_replica_timeout_us),
      model_(model),
      first_replica_(first_replica),
      outbox_(outbox) {
  Random seeds(core.seed + (std::uint64_t(model) << 32));
  balancer_ = make_balancer(options_.policy, seeds.next());
  for (std::uint32_t i = 0; i < options_.replicas; ++i)
    replicas_.emplace_back(core, options_, seeds.next());
}

// ---- requests: in and out

Status Pool::admit(TimeUs now_us, std::uint64_t tokens) const {
  if (draining_) return Error{ErrorCode::unavailable, "the server is shutting down", "", 1};
  if (starved(now_us)) return no_replica_error(now_us);
  return check_queue_room(load(), tokens);
}

Status Pool::accepts(TimeUs now_us, const RequestSpec& spec, std::uint64_t tokens) const {
  if (spec.item_tokens.empty())
    return Error{ErrorCode::invalid_argument, "the request has no items"};
  if (spec.deadline_us <= now_us)
    return Error{ErrorCode::deadline_exceeded,
                 "the request's deadline passed before it was queued"};
  SHEAF_TRY(admit(now_us, tokens));
  const TimeUs left_us = spec.deadline_us - now_us;
  Load now = load();
  now.tokens_ahead = tokens_ahead(now_us, spec.tenant, queue_.tokens_of(spec.tenant), tokens);
  if (check_deadline(now, tokens, left_us, options_.target_batch_us).ok()) return {};
  // Perhaps not all of the tenant's own goes before it; that takes longer to find out.
  const std::uint64_t own = queue_.tokens_before(place_of(now_us, spec, tokens));
  now.tokens_ahead = tokens_ahead(now_us, spec.tenant, own, tokens);
  return check_deadline(now, tokens, left_us, options_.target_batch_us);
}

// Where it stands in the queue. Due no later than it must begin to end by its deadline.
Queue::Place Pool::place_of(TimeUs now_us, const RequestSpec& spec, std::uint64_t tokens) const {
  const auto alone_us =
      static_cast<TimeUs>(static_cast<double>(tokens) * 1e6 / std::max(all_tokens_per_s(), 1.0));
  const TimeUs due_us = std::min(spec.deadline_us - alone_us, now_us + kPatience * alone_us);
  return {spec.tenant, due_us, spec.id};
}

void Pool::on_request(TimeUs now_us, RequestSpec spec) {
  const std::uint64_t tokens = sum(spec.item_tokens);
  if (Status status = accepts(now_us, spec, tokens); !status.ok())
    return refuse(spec.id, std::move(status).error());
  enqueue(now_us, add_request(now_us, std::move(spec), tokens), tokens);
  after_event(now_us);
}

void Pool::on_cancel(TimeUs now_us, RequestId request) {
  const auto found = requests_.find(request);
  if (found == requests_.end()) return;
  end(found);
  after_event(now_us);
}

Load Pool::load() const {
  Load load;
  load.queue_tokens = waiting_tokens_;
  load.queue_tokens_max = queue_tokens_max();
  load.tokens_per_s = ready_tokens_per_s();
  load.learnt = std::all_of(replicas_.begin(), replicas_.end(), [](const Replica& replica) {
    return replica.rate.learnt() || !replica.supervisor.is_ready();
  });
  return load;
}

// What will run before the last item of a new request of this tenant, of which `own` tokens go
// before it. Not simply all that waits: the queue is fair, so a tenant with little in it waits for
// as much of each other tenant's.
std::uint64_t Pool::tokens_ahead(TimeUs now_us, TenantId tenant, std::uint64_t own,
                                 std::uint64_t tokens) const {
  const std::uint64_t others = queue_.tenants() - (queue_.tokens_of(tenant) > 0 ? 1 : 0);
  const std::uint64_t fair = own + others * (own + tokens);
  std::uint64_t ahead = waiting_tokens_ - queue_.tokens() + std::min(queue_.tokens(), fair);
  for (const Replica& replica : replicas_)
    if (!replica.flight.empty())
      ahead += replica.rate.tokens_in(replica.flight.free_us(now_us, replica.rate) - now_us);
  return ahead;
}

double Pool::ready_tokens_per_s() const {
  double total = 0;
  for (const Replica& replica : replicas_)
    if (replica.supervisor.is_ready()) total += replica.rate.tokens_per_s();
  return total;
}

// Of dead replicas too: they will be back before a long queue is served.
double Pool::all_tokens_per_s() const {
  double total = 0;
  for (const Replica& replica : replicas_) total += replica.rate.tokens_per_s();
  return total;
}

std::uint64_t Pool::queue_tokens_max() const {
  if (options_.queue_tokens_max != 0) return options_.queue_tokens_max;
  return default_queue_tokens_max(all_tokens_per_s());
}

Request& Pool::add_request(TimeUs now_us, RequestSpec spec, std::uint64_t tokens) {
  Request& request = requests_[spec.id];
  request.place = place_of(now_us, spec, tokens);
  request.deadline_us = spec.deadline_us;
  request.arrived_us = now_us;
  request.answer.request = spec.id;
  request.undone = static_cast<std::uint32_t>(spec.item_tokens.size());
  request.items.resize(spec.item_tokens.size());
  for (std::size_t i = 0; i < request.items.size(); ++i)
    request.items[i].tokens = spec.item_tokens[i];
  deadlines_.emplace(spec.deadline_us, spec.id);
  return request;
}

void Pool::enqueue(TimeUs now_us, Request& request, std::uint64_t tokens) {
  std::vector<QueuedItem> items;
  items.reserve(request.items.size());
  for (std::uint32_t i = 0; i < request.items.size(); ++i)
    items.push_back({{request.place.request, i}, request.items[i].tokens});
  waiting_items_ += items.size();
  waiting_tokens_ += tokens;

  std::vector<Candidate> candidates;
  const std::vector<std::uint32_t> positions = find_candidates(now_us, candidates);
  const auto choice = balancer_->bind(candidates, tokens);
  if (choice) request.bound = positions[*choice];
  Queue& queue = choice ? replicas_[*request.bound].bound : queue_;
  queue.push(request.place, items);
}

void Pool::answer(Requests::iterator request) {
  outbox_.actions.emplace_back(request->second.answer);
  end(request);
}

void Pool::refuse(Requests::iterator request, Error error) {
  refuse(request->first, std::move(error));
  end(request);
}

void Pool::refuse(RequestId request, Error error) {
  outbox_.actions.emplace_back(Refuse{request, std::move(error)});
}

// Forgets the request wherever it stands. Its suspects are dropped when their turn comes.
void Pool::end(Requests::iterator found) {
  const Request& request = found->second;
  for (const RequestItem& item : request.items) {
    if (item.state == RequestItem::State::sent) release(item);
    if (item.state != RequestItem::State::waiting) continue;
    --waiting_items_;
    waiting_tokens_ -= item.tokens;
  }
  queue_.remove(request.place);
  if (request.bound) replicas_[*request.bound].bound.remove(request.place);
  deadlines_.erase({request.deadline_us, request.place.request});
  requests_.erase(found);
}

// One item in flight that nobody waits for any more. The last one of a batch makes it pointless.
void Pool::release(const RequestItem& item) {
  Replica& replica = replicas_[item.replica];
  Batch* batch = replica.flight.find(item.batch);
  if (batch == nullptr || --batch->awaited > 0) return;
  outbox_.actions.emplace_back(
      CancelBatch{first_replica_ + item.replica, replica.supervisor.incarnation(), item.batch});
}

void Pool::expire(TimeUs now_us) {
  while (!deadlines_.empty() && deadlines_.begin()->first <= now_us) {
    const auto request = requests_.find(deadlines_.begin()->second);
    if (request->second.undone == 0) {  // only its batch's compute time is missing
      answer(request);
      continue;
    }
    const TimeUs waited_us = now_us - request->second.arrived_us;
    refuse(request, {ErrorCode::deadline_exceeded,
                     "the request's deadline passed after " + seconds(waited_us) + ", with " +
                         std::to_string(request->second.undone) + " of " +
                         std::to_string(request->second.items.size()) + " items to do"});
  }
}

// No replica has been ready for too long, or all are broken and none is tried again before that.
bool Pool::starved(TimeUs now_us) const {
  if (no_ready_since_us_ < 0) return false;
  const TimeUs until_us = no_ready_since_us_ + no_replica_timeout_us_;
  return now_us >= until_us || std::ranges::all_of(replicas_, [&](const Replica& replica) {
           return replica.supervisor.state() == ReplicaState::broken &&
                  replica.supervisor.next_us() > until_us;
         });
}

void Pool::refuse_if_starved(TimeUs now_us) {
  if (!starved(now_us)) return;
  while (!deadlines_.empty())
    refuse(requests_.find(deadlines_.begin()->second), no_replica_error(now_us));
}

Error Pool::no_replica_error(TimeUs now_us) const {
  TimeUs wait_us = kNever;
  for (const Replica& replica : replicas_) {
    const bool starting = replica.supervisor.state() == ReplicaState::starting;
    wait_us = std::min(wait_us, starting ? 0 : replica.supervisor.next_us() - now_us);
  }
  std::string why;
  for (const Replica& replica : replicas_)
    if (replica.supervisor.state() == ReplicaState::broken) why = "; last: " + replica.last_death;
  return {ErrorCode::unavailable,
          "no replica has been ready for " + seconds(now_us - no_ready_since_us_) + why, "",
          static_cast<int>(std::clamp<TimeUs>(wait_us / 1'000'000 + 1, 1, 30))};
}

// ---- batches: out and back

void Pool::dispatch(TimeUs now_us) {
  dispatch_suspects(now_us);
  dispatch_common(now_us);
  dispatch_bound(now_us);
}

void Pool::dispatch_suspects(TimeUs now_us) {
  while (!suspects_batch_) {
    suspects_.drop_front_if(
        [this](const QueuedItem& item) { return !requests_.contains(item.ref.request); });
    if (suspects_.empty()) return witness_.reset();
    if (!witness_ || witness_ == suspects_.front().avoid)
      witness_ = witness_for(now_us, suspects_.front());
    if (!witness_ || !replicas_[*witness_].flight.empty()) return;
    // A replica that fails at everything must not testify against a text.
    if (!replicas_[*witness_].supervisor.has_worked()) return send_probe(now_us, *witness_);

    Suspects::Group group = suspects_.take();
    if (group.items.size() > 1 && !fits(now_us, replicas_[*witness_], group.items))
      suspects_.add_halves(std::move(group.items));  // half of what a larger replica had
    else
      suspects_batch_ = send(now_us, *witness_, std::move(group.items));
  }
}

bool Pool::fits(TimeUs now_us, const Replica& replica, const std::vector<QueuedItem>& items) const {
  std::uint64_t tokens = 0;
  for (const QueuedItem& item : items) tokens += item.tokens;
  return tokens <= replica.limit_tokens(now_us) && items.size() <= replica.limits.max_batch_items;
}

// The ready replica that gets free first, but for the one to avoid unless no other can be hoped
// for.
std::optional<std::uint32_t> Pool::witness_for(TimeUs now_us, const Suspects::Group& group) const {
  std::optional<std::uint32_t> best;
  TimeUs best_us = kNever;
  bool another_comes = false;
  for (std::uint32_t i = 0; i < replicas_.size(); ++i) {
    const Replica& replica = replicas_[i];
    const ReplicaState state = replica.supervisor.state();
    another_comes |= state == ReplicaState::starting || state == ReplicaState::killing;
    if (!replica.supervisor.is_ready() || group.avoid == i) continue;
    const TimeUs free_us = replica.flight.free_us(now_us, replica.rate);
    if (free_us >= best_us) continue;
    best = i;
    best_us = free_us;
  }
  const bool avoided_ready = group.avoid && replicas_[*group.avoid].supervisor.is_ready();
  return best || another_comes || !avoided_ready ? best : group.avoid;
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
    while (!replica.bound.empty() && !is_reserved(i) && replica.has_room(now_us, lead_us))
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
    if (!replica.supervisor.is_ready() || is_reserved(i)) continue;
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

void Pool::send_probe(TimeUs now_us, std::uint32_t position) {
  Replica& replica = replicas_[position];
  Batch batch;
  batch.id = outbox_.next_batch++;
  batch.tokens = 1;
  outbox_.actions.emplace_back(SendBatch{
      first_replica_ + position, replica.supervisor.incarnation(), batch.id, batch.tokens, {}});
  replica.watchdog.restart(now_us);
  replica.flight.add(now_us, std::move(batch));
}

BatchId Pool::send(TimeUs now_us, std::uint32_t position, std::vector<QueuedItem> items) {
  Replica& replica = replicas_[position];
  Batch batch;
  batch.id = outbox_.next_batch++;
  SendBatch action{first_replica_ + position, replica.supervisor.incarnation(), batch.id, 0, {}};
  action.items.reserve(items.size());
  for (const QueuedItem& queued : items) {
    RequestItem& item = requests_.at(queued.ref.request).items[queued.ref.index];
    item.state = RequestItem::State::sent;
    item.replica = position;
    item.batch = batch.id;
    ++item.runs;
    --waiting_items_;
    waiting_tokens_ -= item.tokens;
    action.tokens += item.tokens;
    action.items.push_back(queued.ref);
  }
  batch.tokens = action.tokens;
  batch.awaited = static_cast<std::uint32_t>(items.size());
  batch.done.resize(items.size());
  batch.items = std::move(items);
  if (replica.flight.empty()) replica.watchdog.restart(now_us);
  replica.flight.add(now_us, std::move(batch));
  outbox_.actions.emplace_back(std::move(action));
  return outbox_.next_batch - 1;
}

void Pool::on_items_done(TimeUs now_us, std::uint32_t position, Incarnation incarnation, BatchId id,
                         std::uint32_t first, std::uint32_t count) {
  Replica& replica = replicas_[position];
  if (!replica.supervisor.runs(incarnation)) return;
  Batch* batch = replica.flight.find(id);
  if (batch == nullptr) return;
  replica.watchdog.advanced(now_us);
  const std::size_t end = std::min<std::size_t>(std::size_t(first) + count, batch->items.size());
  for (std::size_t i = first; i < end; ++i) {
    if (batch->done[i]) continue;
    batch->done[i] = true;
    mark_done(*batch, position, batch->items[i].ref);
  }
}

void Pool::mark_done(const Batch& batch, std::uint32_t position, const ItemRef& ref) {
  const auto found = requests_.find(ref.request);
  if (found == requests_.end()) return;
  Request& request = found->second;
  RequestItem& item = request.items[ref.index];
  item.state = RequestItem::State::done;
  --request.undone;
  request.last_batch = batch.id;
  request.answer.replica = first_replica_ + position;
  request.answer.queue_us = std::max(request.answer.queue_us, batch.begun_us - request.arrived_us);
  request.answer.attempts = std::max(request.answer.attempts, item.runs);
}

void Pool::on_batch_done(TimeUs now_us, std::uint32_t position, Incarnation incarnation, BatchId id,
                         TimeUs compute_us, const Error* failure) {
  Replica& replica = replicas_[position];
  if (!replica.supervisor.runs(incarnation) || replica.flight.find(id) == nullptr) return;
  const Batch batch = replica.flight.finish(now_us, id);
  replica.watchdog.restart(now_us);
  if (suspects_batch_ == id) suspects_batch_.reset();
  if (failure != nullptr && batch.items.empty()) {
    kill(now_us, position, Blame::none, true, "it refuses even a probe: " + failure->message);
    return after_event(now_us);
  }

  const bool complete = std::find(batch.done.begin(), batch.done.end(), false) == batch.done.end();
  if (failure == nullptr) {
    replica.supervisor.batch_finished(now_us);
    last_batch_end_us_ = now_us;
  }
  // The time of one that was cut short, or of a probe, says nothing.
  if (complete && !batch.items.empty()) {
    replica.rate.learn(batch.tokens, compute_us);
    replica.count(batch, compute_us);
  }
  for (const QueuedItem& item : batch.items) {
    const auto request = requests_.find(item.ref.request);
    if (request != requests_.end() && request->second.last_batch == id)
      request->second.answer.compute_us = compute_us;
  }
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
  retry(now_us, position, batch, take_unfinished(batch), blame, cause);
}

void Pool::answer_completed(const Batch& batch) {
  for (const QueuedItem& item : batch.items) {
    const auto request = requests_.find(item.ref.request);
    if (request == requests_.end()) continue;
    if (request->second.undone == 0 && request->second.last_batch == batch.id) answer(request);
  }
}

std::vector<QueuedItem> Pool::take_unfinished(const Batch& batch) {
  std::vector<QueuedItem> unfinished;
  for (std::size_t i = 0; i < batch.items.size(); ++i) {
    const auto request = requests_.find(batch.items[i].ref.request);
    if (batch.done[i] || request == requests_.end()) continue;
    request->second.items[batch.items[i].ref.index].state = RequestItem::State::waiting;
    ++waiting_items_;
    waiting_tokens_ += batch.items[i].tokens;
    unfinished.push_back(batch.items[i]);
  }
  return unfinished;
}

void Pool::retry(TimeUs now_us, std::uint32_t position, const Batch& batch,
                 std::vector<QueuedItem> items, Blame blame, const std::string& cause) {
  if (blame == Blame::none) {
    for (const QueuedItem& item : items) give_back(item);
  } else if (blame == Blame::too_large && items.size() > 1) {
    suspects_.add_halves(std::move(items));
  } else {
    for (const QueuedItem& item : items) suspect(now_us, position, item, batch.alone, cause);
  }
}

void Pool::give_back(const QueuedItem& item) {
  queue_.push_front(requests_.at(item.ref.request).place, item);
}

// One of these items may be the reason: each runs alone. One that was alone already is the reason
// as far as this replica can tell; a second time, by another replica if there is one, makes it
// certain.
void Pool::suspect(TimeUs now_us, std::uint32_t position, const QueuedItem& queued, bool alone,
                   const std::string& cause) {
  RequestItem& item = requests_.at(queued.ref.request).items[queued.ref.index];
  if (!replicas_[position].supervisor.is_ready()) item.fallen.push_back(position);
  if (alone && ++item.strikes >= kStrikesMax) return refuse_poisonous(now_us, queued, cause);
  Suspects::Group group;
  group.items.push_back(queued);
  if (!alone) return suspects_.add(std::move(group));
  group.avoid = position;
  suspects_.add_first(std::move(group));
}

// The replicas that fell were not at fault: else a few such texts would open every breaker.
void Pool::refuse_poisonous(TimeUs now_us, const QueuedItem& queued, const std::string& cause) {
  const auto request = requests_.find(queued.ref.request);
  for (const std::uint32_t fallen : request->second.items[queued.ref.index].fallen)
    replicas_[fallen].supervisor.forgive(now_us, 1);
  std::string text = "item " + std::to_string(queued.ref.index) + " (" +
                     std::to_string(queued.tokens) +
                     " tokens) made a replica fail twice while it ran alone; last: " + cause;
  notice(Notice::Level::error, "request " + std::to_string(queued.ref.request) + ": " + text);
  Error error{ErrorCode::poisonous, std::move(text), "", 0};
  error.param = "input[" + std::to_string(queued.ref.index) + "]";
  refuse(request, std::move(error));
}

// ---- replicas: up and down

void Pool::start(TimeUs now_us) {
  for (std::uint32_t i = 0; i < replicas_.size(); ++i) start_replica(now_us, i);
  after_event(now_us);
}

void Pool::start_replica(TimeUs now_us, std::uint32_t position) {
  const Incarnation incarnation = replicas_[position].supervisor.start(now_us);
  outbox_.actions.emplace_back(StartReplica{first_replica_ + position, incarnation});
}

void Pool::on_ready(TimeUs now_us, std::uint32_t position, Incarnation incarnation,
                    const ReplicaReady& limits) {
  Replica& replica = replicas_[position];
  if (!replica.supervisor.runs(incarnation) || replica.supervisor.is_ready()) return;
  replica.limits = limits;
  replica.supervisor.ready();
  replica.watchdog.restart(now_us);
  after_event(now_us);
}

void Pool::on_exit(TimeUs now_us, std::uint32_t position, Incarnation incarnation,
                   const ExitReport& report) {
  Supervisor& supervisor = replicas_[position].supervisor;
  const bool killed = supervisor.state() == ReplicaState::killing;
  if (incarnation != supervisor.incarnation() || !(killed || supervisor.runs(incarnation))) return;
  if (killed) {  // by us: its work was taken back and the reason noted then
    supervisor.ended(now_us, supervisor.was_killed_for_failure());
  } else {
    const Death death = judge(report);
    const Flight& flight = replicas_[position].flight;
    const bool halving_helps =
        death.blame == Blame::too_large && !flight.empty() && flight.running().items.size() > 1;
    supervisor.ended(now_us, death.failure && !halving_helps);
    replicas_[position].last_death = death.cause;
    notice(Notice::Level::warn, name(position) + " ended: " + death.cause);
    lose_work(now_us, position, death.blame, death.cause);
  }
  restart(now_us, position);
  after_event(now_us);
}

void Pool::on_progress(TimeUs now_us, std::uint32_t position, Incarnation incarnation,
                       const ProgressSample& sample) {
  Replica& replica = replicas_[position];
  if (!replica.supervisor.runs(incarnation)) return;
  const Flight& flight = replica.flight;
  const TimeUs expected_us =
      flight.empty() ? 0 : std::max<TimeUs>(1, replica.rate.time_for(flight.running().tokens));
  switch (replica.watchdog.judge(now_us, sample, expected_us)) {
    case Watchdog::Verdict::fine:
      break;
    case Watchdog::Verdict::stopped:
      kill(now_us, position, Blame::none, false, "stopped");
      break;
    case Watchdog::Verdict::hung_cpu:
      kill(now_us, position, Blame::suspected, true, "hung: computes without progress");
      break;
    case Watchdog::Verdict::hung_wall:
      kill(now_us, position, Blame::suspected, true, "hung: no progress");
      break;
  }
  after_event(now_us);  // an overdue replica's share of the queue falls as time goes by
}

// Its work is taken back at once: nothing depends on how soon the process can be reaped.
void Pool::kill(TimeUs now_us, std::uint32_t position, Blame blame, bool failure,
                const std::string& reason) {
  Replica& replica = replicas_[position];
  replica.last_death = "killed: " + reason;
  outbox_.actions.emplace_back(
      KillReplica{first_replica_ + position, replica.supervisor.incarnation(), reason});
  notice(Notice::Level::warn, name(position) + " is killed: " + reason);
  replica.supervisor.kill(failure);
  lose_work(now_us, position, blame, reason);
}

// Batches run in order, so only the oldest can be to blame; what lay behind it was not begun.
void Pool::lose_work(TimeUs now_us, std::uint32_t position, Blame blame, const std::string& cause) {
  Replica& replica = replicas_[position];
  if (witness_ == position) {
    witness_.reset();
    suspects_batch_.reset();
  }
  replica.bound.move_all_to(queue_);
  const std::deque<Batch> batches = replica.flight.take_all();
  for (std::size_t i = 0; i < batches.size(); ++i)
    settle(now_us, position, batches[i], i == 0 ? blame : Blame::none, cause);
}

void Pool::restart(TimeUs now_us, std::uint32_t position) {
  Supervisor& supervisor = replicas_[position].supervisor;
  if (stopped_) return supervisor.stop();
  if (supervisor.start_is_due(now_us)) return start_replica(now_us, position);
  const std::string wait = " in " + seconds(supervisor.next_us() - now_us);
  if (supervisor.state() == ReplicaState::broken)
    notice(Notice::Level::error,
           name(position) + " is broken: it failed too often; the next try is" + wait);
  else if (supervisor.state() == ReplicaState::backoff)
    notice(Notice::Level::info, name(position) + " is started again" + wait);
}

void Pool::on_tick(TimeUs now_us) {
  for (std::uint32_t i = 0; i < replicas_.size(); ++i) {
    const Supervisor& supervisor = replicas_[i].supervisor;
    if (supervisor.start_timed_out(now_us))
      kill(now_us, i, Blame::none, true, "not ready in time");
    else if (supervisor.start_is_due(now_us))
      start_replica(now_us, i);
  }
  after_event(now_us);
}

void Pool::on_drain(TimeUs now_us) {
  draining_ = true;
  after_event(now_us);
}

void Pool::stop_all() {
  stopped_ = true;
  for (std::uint32_t i = 0; i < replicas_.size(); ++i) {
    Supervisor& supervisor = replicas_[i].supervisor;
    if (supervisor.runs(supervisor.incarnation()))
      outbox_.actions.emplace_back(StopReplica{first_replica_ + i, supervisor.incarnation()});
    if (supervisor.state() != ReplicaState::killing) supervisor.stop();
  }
}

void Pool::note_readiness(TimeUs now_us) {
  const bool ready = std::any_of(replicas_.begin(), replicas_.end(), [](const Replica& replica) {
    return replica.supervisor.is_ready();
  });
  if (ready)
    no_ready_since_us_ = -1;
  else if (no_ready_since_us_ < 0)
    no_ready_since_us_ = now_us;
}

// What may follow from any event: deadlines, starvation, new batches, the end of a drain.
void Pool::after_event(TimeUs now_us) {
  last_event_us_ = now_us;
  note_readiness(now_us);
  expire(now_us);
  refuse_if_starved(now_us);
  dispatch(now_us);
  if (draining_ && !stopped_ && requests_.empty()) stop_all();
}

TimeUs Pool::next_tick_us() const {
  TimeUs next_us = kNever;
  if (!deadlines_.empty()) {
    next_us = deadlines_.begin()->first;
    if (no_ready_since_us_ >= 0)
      next_us = std::min(next_us, no_ready_since_us_ + no_replica_timeout_us_);
  }
  const TimeUs lead_us = second_batch_lead_us(options_);
  for (const Replica& replica : replicas_) {
    next_us = std::min(next_us, replica.supervisor.next_us());
    if (waiting_items_ > 0) next_us = std::min(next_us, replica.room_us(last_event_us_, lead_us));
  }
  return next_us;
}

// ---- what is shown

ReplicaStatus Pool::replica_status(std::uint32_t position) const {
  return replicas_[position].status(model_);
}

ModelStatus Pool::status() const {
  ModelStatus status;
  status.queue_items = waiting_items_;
  status.queue_tokens = waiting_tokens_;
  status.queue_tokens_max = queue_tokens_max();
  for (const Replica& replica : replicas_) status.replicas_ready += replica.supervisor.is_ready();
  status.last_batch_end_us = last_batch_end_us_;
  return status;
}

std::string Pool::name(std::uint32_t position) const {
  return "replica " + std::to_string(first_replica_ + position);
}

void Pool::notice(Notice::Level level, std::string text) {
  outbox_.actions.emplace_back(Notice{level, std::move(text)});
}

}  // namespace sheaf::core
