#include "core/admission.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace sheaf::core {
namespace {

constexpr double kQueueSeconds = 30;
constexpr std::uint64_t kQueueTokensMin = 1'000'000;
constexpr int kRetryAfterMaxS = 30;
// Learnt rates are off by some per cent, and a queue kept exactly at the deadline would miss it
// every other time.
constexpr double kPessimism = 1.1;

// When about half of what waits is done: the queue is short again, and the clients that were
// refused together do not all return to an idle server.
int retry_after_s(const Load& load) {
  const double wait_s = static_cast<double>(load.queue_tokens) / std::max(load.tokens_per_s, 1.0);
  return static_cast<int>(std::clamp(std::ceil(wait_s / 2), 1.0, double(kRetryAfterMaxS)));
}

}  // namespace

Status check_queue_room(const Load& load, std::uint64_t tokens) {
  if (load.queue_tokens == 0 || load.queue_tokens + tokens <= load.queue_tokens_max) return {};
  return Error{ErrorCode::overloaded,
               "the queue holds " + std::to_string(load.queue_tokens) + " of at most " +
                   std::to_string(load.queue_tokens_max) + " tokens, and this request has " +
                   std::to_string(tokens),
               "", retry_after_s(load)};
}

Status check_deadline(const Load& load, std::uint64_t tokens, TimeUs time_left_us,
                      TimeUs target_batch_us) {
  if (!load.learnt || load.tokens_ahead == 0 || load.tokens_per_s <= 0) return {};
  const double work = static_cast<double>(load.tokens_ahead + tokens);
  const auto work_us = static_cast<TimeUs>(work * 1e6 / load.tokens_per_s * kPessimism);
  const TimeUs expected_us = work_us + std::min(work_us, target_batch_us);
  if (expected_us <= time_left_us) return {};
  return Error{ErrorCode::overloaded,
               "the answer is expected in " + std::to_string(expected_us / 1000) +
                   " ms, after the request's deadline in " + std::to_string(time_left_us / 1000) +
                   " ms",
               "", retry_after_s(load)};
}

std::uint64_t default_queue_tokens_max(double tokens_per_s) {
  return std::max(kQueueTokensMin, static_cast<std::uint64_t>(tokens_per_s * kQueueSeconds));
}

}  // namespace sheaf::core
