#include "core/batcher.h"

#include <algorithm>

namespace sheaf::core {
namespace {

constexpr TimeUs kLeadMinUs = 2'000;

bool takes(const BatchLimit& limit, std::size_t items, std::uint64_t tokens,
           const QueuedItem& next) {
  return items < limit.items && tokens + next.tokens <= limit.tokens &&
         tokens + next.tokens / 2 <= limit.share;
}

}  // namespace

std::uint64_t batch_budget(const ModelOptions& options, const Rate& rate,
                           std::uint64_t replica_limit_tokens) {
  const std::uint64_t wanted = options.max_batch_tokens != 0
                                   ? options.max_batch_tokens
                                   : rate.tokens_in(options.target_batch_us);
  return std::min<std::uint64_t>(std::max<std::uint64_t>(wanted, options.max_length),
                                 replica_limit_tokens);
}

std::uint64_t split_minimum(const ModelOptions& options, const Rate& rate) {
  return std::max<std::uint64_t>(1, rate.tokens_in(options.target_batch_us / 20));
}

TimeUs second_batch_lead_us(const ModelOptions& options) {
  return std::max(kLeadMinUs, options.target_batch_us / 10);
}

std::vector<QueuedItem> fill_batch(Queue& queue, const BatchLimit& limit) {
  std::vector<QueuedItem> items;
  std::uint64_t tokens = 0;
  while (!queue.empty() && (items.empty() || takes(limit, items.size(), tokens, queue.front()))) {
    items.push_back(queue.pop());
    tokens += items.back().tokens;
  }
  return items;
}

}  // namespace sheaf::core
