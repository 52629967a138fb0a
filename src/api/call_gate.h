#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <unordered_set>

#include "base/error.h"

namespace sheaf::api {

// A gRPC call that a draining server waits for.
class GatedCall {
 public:
  // The server drains: finish what has been accepted, accept no more. Any thread; must not wait.
  virtual void close() {}

 protected:
  ~GatedCall() = default;
};

// Lets calls in until it is closed, then tells those inside and waits for them. Thread-safe.
class CallGate {
 public:
  // False if it is closed. What enters, leaves before it is destroyed.
  bool enter(GatedCall& call);
  void leave(GatedCall& call);  // also of one that was not let in

  // False if some are left when the time is over.
  bool close_and_wait(std::chrono::milliseconds timeout);

 private:
  std::mutex mutex_;
  std::condition_variable empty_;
  std::unordered_set<GatedCall*> calls_;
  bool closed_ = false;
};

// What those hear that come too late.
Error closed_gate();

}  // namespace sheaf::api
