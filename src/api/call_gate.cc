#include "api/call_gate.h"

namespace sheaf::api {

bool CallGate::enter(GatedCall& call) {
  const std::lock_guard lock(mutex_);
  if (!closed_) calls_.insert(&call);
  return !closed_;
}

void CallGate::leave(GatedCall& call) {
  const std::lock_guard lock(mutex_);
  calls_.erase(&call);
  if (calls_.empty()) empty_.notify_all();
}

bool CallGate::close_and_wait(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  closed_ = true;
  for (GatedCall* call : calls_) call->close();  // cannot leave meanwhile, so they live
  return empty_.wait_for(lock, timeout, [this] { return calls_.empty(); });
}

Error closed_gate() { return {ErrorCode::unavailable, "the server is shutting down"}; }

}  // namespace sheaf::api
