#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <thread>

namespace sheaf::cli {

// From construction to destruction SIGTERM and SIGINT end the program at once and by that signal,
// as they would anyhow, after a line that says so: for a start that fetches and measures models.
// Nothing needs to be undone: downloads go on where they stopped, what is kept is renamed into its
// place when it is whole, and replicas that measure end with their parent.
class StartSignals {
 public:
  StartSignals();
  ~StartSignals();

 private:
  boost::asio::io_context io_{1};
  boost::asio::signal_set signals_;
  std::thread thread_;
};

}  // namespace sheaf::cli
