#pragma once

#include "hub/http.h"

namespace sheaf::hub {

// Bounded waiting between attempts: exponential from `first_wait_ms`, with jitter, never over
// `max_wait_ms`; a server's Retry-After (seconds) replaces it up to `max_retry_after_s`. Beyond
// that nobody should be kept waiting.
struct RetryPolicy {
  int attempts = 5;
  int first_wait_ms = 500;
  int max_wait_ms = 8000;
  int max_retry_after_s = 60;
};

class Backoff {
 public:
  explicit Backoff(const RetryPolicy& policy) : policy_(policy) {}

  // Sleeps before the next attempt; false, at once, if there should be none. `response` may be null
  // (nobody answered).
  bool wait(const HttpResponse* response);
  void reset() { failures_ = 0; }

 private:
  RetryPolicy policy_;
  int failures_ = 0;
};

// Sends until the answer is not transient or attempts are spent; then the last answer. A host that
// cannot be reached at all is reported at once.
Result<HttpResponse> send_with_retries(HttpClient& client, const HttpRequest& request,
                                       const RetryPolicy& policy);

}  // namespace sheaf::hub
