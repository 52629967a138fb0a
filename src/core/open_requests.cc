#include "core/open_requests.h"

#include <algorithm>

namespace sheaf::core {
namespace {

std::uint64_t tokens_of(const Request& request) {
  std::uint64_t tokens = 0;
  for (const RequestItem& item : request.items) tokens += item.tokens;
  return tokens;
}

}  // namespace

Request& OpenRequests::add(TimeUs now_us, const RequestSpec& spec, const Queue::Place& place) {
  Request& request = requests_[spec.id];
  request.place = place;
  request.stream = spec.stream;
  request.deadline_us = spec.deadline_us;
  request.arrived_us = now_us;
  request.answer.request = spec.id;
  request.undone = static_cast<std::uint32_t>(spec.item_tokens.size());
  request.items.resize(spec.item_tokens.size());
  for (std::size_t i = 0; i < request.items.size(); ++i) {
    request.items[i].tokens = spec.item_tokens[i];
    add_waiting(spec.item_tokens[i]);
  }
  deadlines_.emplace(spec.deadline_us, spec.id);
  streams_.opened(spec.stream, tokens_of(request), place.due_us);
  return request;
}

void OpenRequests::remove(const Request& request) {
  for (const RequestItem& item : request.items)
    if (item.state == RequestItem::State::waiting) drop_waiting(item.tokens);
  streams_.ended(request.stream, tokens_of(request));
  const RequestId id = request.place.request;
  deadlines_.erase({request.deadline_us, id});
  requests_.erase(id);
}

Request* OpenRequests::find(RequestId request) {
  const auto found = requests_.find(request);
  return found == requests_.end() ? nullptr : &found->second;
}

void OpenRequests::sent(const Batch& batch, std::uint32_t position) {
  for (const QueuedItem& queued : batch.items) {
    RequestItem& item = requests_.at(queued.ref.request).items[queued.ref.index];
    item.state = RequestItem::State::sent;
    item.replica = position;
    item.batch = batch.id;
    ++item.runs;
    drop_waiting(item.tokens);
  }
}

void OpenRequests::done(const Batch& batch, std::size_t index, ReplicaId replica) {
  const ItemRef& ref = batch.items[index].ref;
  Request* request = find(ref.request);
  if (request == nullptr) return;
  RequestItem& item = request->items[ref.index];
  item.state = RequestItem::State::done;
  --request->undone;
  request->last_batch = batch.id;
  Answer& answer = request->answer;
  answer.replica = replica;
  answer.queue_us =
      std::max(answer.queue_us, batch.begun_us - request->arrived_us - answer.compute_us);
  answer.attempts = std::max(answer.attempts, item.runs);
}

void OpenRequests::note_compute_time(TimeUs now_us, const Batch& batch, TimeUs compute_us) {
  for (const QueuedItem& item : batch.items) {
    Request* request = find(item.ref.request);
    if (request == nullptr) continue;
    // Batches that ran side by side count once, as do several items of one.
    const TimeUs begun_us = std::max(now_us - compute_us, request->computed_until_us);
    request->answer.compute_us += std::max<TimeUs>(now_us - begun_us, 0);
    request->computed_until_us = std::max(now_us, request->computed_until_us);
  }
}

std::vector<QueuedItem> OpenRequests::take_back(const Batch& batch) {
  std::vector<QueuedItem> undone;
  for (std::size_t i = 0; i < batch.items.size(); ++i) {
    const QueuedItem& queued = batch.items[i];
    Request* request = find(queued.ref.request);
    if (batch.done[i] || request == nullptr) continue;
    request->items[queued.ref.index].state = RequestItem::State::waiting;
    add_waiting(queued.tokens);
    undone.push_back(queued);
  }
  return undone;
}

void OpenRequests::add_waiting(std::uint32_t tokens) {
  ++waiting_items_;
  waiting_tokens_ += tokens;
}

void OpenRequests::drop_waiting(std::uint32_t tokens) {
  --waiting_items_;
  waiting_tokens_ -= tokens;
}

}  // namespace sheaf::core
