#include "core/streams.h"

namespace sheaf::core {

void Streams::opened(StreamId stream, std::uint64_t tokens, TimeUs due_us) {
  if (stream == 0) return;
  Open& open = open_[stream];
  ++open.requests;
  open.tokens += tokens;
  open.last_due_us = due_us;
}

void Streams::ended(StreamId stream, std::uint64_t tokens) {
  const auto found = open_.find(stream);
  if (found == open_.end()) return;
  found->second.tokens -= tokens;
  if (--found->second.requests == 0) open_.erase(found);
}

std::uint64_t Streams::tokens(StreamId stream) const {
  const auto found = open_.find(stream);
  return found == open_.end() ? 0 : found->second.tokens;
}

TimeUs Streams::last_due_us(StreamId stream) const {
  const auto found = open_.find(stream);
  return found == open_.end() ? std::numeric_limits<TimeUs>::min() : found->second.last_due_us;
}

}  // namespace sheaf::core
