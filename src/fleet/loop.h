#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/system/error_code.hpp>
#include <memory>
#include <mutex>
#include <utility>

#include "fleet/gate.h"

namespace sheaf::fleet {

// Where the fleet's handlers run: one after the other under the fleet's mutex, never after the
// fleet is gone.
struct Loop {
  boost::asio::io_context& io;
  std::mutex& mutex;
  std::shared_ptr<Gate> gate;

  // A completion handler that keeps `owner` alive and calls `body(arguments...)` with the mutex
  // held, unless the fleet is gone. The first argument of every handler here is an error code.
  template <class Owner, class Body>
  auto handler(std::shared_ptr<Owner> owner, Body body) const {
    return [&mutex = mutex, gate = gate, owner = std::move(owner), body = std::move(body)](
               boost::system::error_code error = {}, std::size_t bytes = 0) mutable {
      if (!gate->enter()) return;
      {
        const std::lock_guard lock(mutex);
        body(error, bytes);
      }
      gate->leave();
    };
  }
};

}  // namespace sheaf::fleet
