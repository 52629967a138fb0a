#include "cli/start_signals.h"

#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstring>

#include "base/log.h"

namespace sheaf::cli {
namespace {

[[noreturn]] void end_by(int signal) {
  if (::isatty(STDERR_FILENO) == 1) std::fputs("\r\033[K", stderr);  // a progress bar's line
  log(LogLevel::warn, "SIG{} while starting: stopped, nothing was served", ::sigabbrev_np(signal));
  std::signal(signal, SIG_DFL);
  std::raise(signal);
  ::_exit(128 + signal);  // if it is blocked
}

}  // namespace

StartSignals::StartSignals() : signals_(io_, SIGTERM, SIGINT) {
  signals_.async_wait([](boost::system::error_code error, int signal) {
    if (!error) end_by(signal);
  });
  thread_ = std::thread([this] { io_.run(); });
}

StartSignals::~StartSignals() {
  io_.stop();
  thread_.join();
}

}  // namespace sheaf::cli
