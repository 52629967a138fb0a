#pragma once

#include <boost/asio/async_result.hpp>
#include <memory>
#include <utility>

#include "server/asio_types.h"

namespace sheaf::server {

// Wakes the one coroutine that waits for it. All calls on that coroutine's strand; set() resumes it
// in place, so an answer leaves without another turn of the event loop.
class Event {
 public:
  void set() {
    set_ = true;
    if (auto waiter = std::move(waiter_)) waiter->resume();
  }
  // Returns at once if set() came first; ready for the next wait afterwards.
  Awaitable<> wait() {
    if (!set_) {
      co_await asio::async_initiate<const asio::use_awaitable_t<Strand>, void()>(
          [this](auto handler) {
            waiter_ = std::make_unique<Held<decltype(handler)>>(std::move(handler));
          },
          kAwait);
    }
    set_ = false;
  }

 private:
  struct Waiter {
    virtual ~Waiter() = default;
    virtual void resume() = 0;
  };
  template <class Handler>
  struct Held final : Waiter {
    explicit Held(Handler h) : handler(std::move(h)) {}
    void resume() override { std::move(handler)(); }
    Handler handler;
  };

  bool set_ = false;
  std::unique_ptr<Waiter> waiter_;
};

}  // namespace sheaf::server
