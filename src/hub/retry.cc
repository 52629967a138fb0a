#include "hub/retry.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <optional>
#include <random>
#include <thread>

namespace sheaf::hub {
namespace {

// Retry-After may also be a date; the hubs send seconds, and for a date our own wait will do.
std::optional<int> retry_after_s(const HttpResponse* response) {
  if (response == nullptr) return std::nullopt;
  const std::string_view text = response->header("retry-after");
  int seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc() || end != text.data() + text.size() || seconds < 0) return std::nullopt;
  return seconds;
}

// Half to all of it, so that processes that failed together do not come back together.
int with_jitter(int wait_ms) {
  thread_local std::minstd_rand random(std::random_device{}());
  return std::uniform_int_distribution<int>(wait_ms / 2, wait_ms)(random);
}

}  // namespace

bool Backoff::wait(const HttpResponse* response) {
  if (++failures_ >= policy_.attempts) return false;
  const int doublings = std::min(failures_ - 1, 20);
  const auto grown =
      std::min<std::int64_t>(std::int64_t{policy_.first_wait_ms} << doublings, policy_.max_wait_ms);
  auto wait = std::chrono::milliseconds(with_jitter(static_cast<int>(grown)));
  if (const auto asked = retry_after_s(response)) {
    if (*asked > policy_.max_retry_after_s) return false;
    wait = std::chrono::seconds(*asked);
  }
  std::this_thread::sleep_for(wait);
  return true;
}

Result<HttpResponse> send_with_retries(HttpClient& client, const HttpRequest& request,
                                       const RetryPolicy& policy) {
  Backoff backoff(policy);
  for (;;) {
    SHEAF_ASSIGN(HttpResponse response, client.send(request));
    if (!response.is_transient() || !backoff.wait(&response)) return response;
  }
}

}  // namespace sheaf::hub
