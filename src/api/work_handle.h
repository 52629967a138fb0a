#pragma once

#include <mutex>
#include <utility>

#include "router/router.h"

namespace sheaf::api {

// Ends the router's work for a client that goes away, perhaps before the work's id is known.
// Thread-safe.
class WorkHandle {
 public:
  explicit WorkHandle(router::Router& router) : router_(router) {}

  // The work has this id; 0 if there is none.
  void began(core::RequestId request) {
    std::unique_lock lock(mutex_);
    request_ = request;
    const bool cancelled = cancelled_;
    lock.unlock();
    if (cancelled) router_.cancel(request);
  }

  void cancel() {
    std::unique_lock lock(mutex_);
    cancelled_ = true;
    const core::RequestId request = request_;
    lock.unlock();
    if (request != 0) router_.cancel(request);
  }

 private:
  router::Router& router_;
  std::mutex mutex_;  // guards what follows
  core::RequestId request_ = 0;
  bool cancelled_ = false;
};

}  // namespace sheaf::api
