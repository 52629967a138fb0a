#include "cli/start_signals.h"

#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "base/log.h"

namespace sheaf::cli {
namespace {

constexpr auto kUndoneWithin = std::chrono::seconds(30);

[[noreturn]] void end_by(int signal) {
  if (::isatty(STDERR_FILENO) == 1) std::fputs("\r\033[K", stderr);  // a progress bar's line
  log(LogLevel::warn, "SIG{} while starting: stopped, nothing was served", ::sigabbrev_np(signal));
  std::signal(signal, SIG_DFL);
  std::raise(signal);
  ::_exit(128 + signal);  // if it is blocked
}

}  // namespace

StartSignals::StartSignals() : signals_(io_, SIGTERM, SIGINT) {
  signals_.async_wait([this](boost::system::error_code error, int signal) {
    if (error) return;
    caught_ = true;
    const std::unique_lock lock(held_, kUndoneWithin);
    end_by(signal);
  });
  thread_ = std::thread([this] { io_.run(); });
}

// One that came when nobody waited any more is seen to here; one that comes now, once nobody would
// catch it.
StartSignals::~StartSignals() {
  io_.stop();
  thread_.join();
  sigset_t ours, before;
  ::sigemptyset(&ours);
  ::sigaddset(&ours, SIGTERM);
  ::sigaddset(&ours, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &ours, &before);
  io_.restart();
  io_.poll();
  signals_.clear();
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace sheaf::cli
