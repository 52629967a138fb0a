#pragma once

#include <termios.h>

#include <csignal>
#include <cstddef>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/fd.h"
#include "base/result.h"

namespace sheaf::cli {

// The terminal while a command draws on it again and again: the other screen, no cursor, keys at
// once and unseen. As it was before when this is destroyed, and that comes to pass with Ctrl-C and
// SIGTERM too, which are heard here rather than deadly. One at a time, one thread; to be made
// before other threads, which would not know that these signals are not for them.
class Screen {
 public:
  // Error unsupported: standard output is no terminal.
  static Result<Screen> open();
  Screen(Screen&&) = default;
  Screen& operator=(Screen&&) = delete;
  ~Screen();

  struct Size {
    std::size_t columns = 80, rows = 24;
  };
  Size size() const;

  // Shows these lines and nothing else; they have to fit.
  void draw(const std::string& lines);

  enum class Event { time_is_over, resized, key, end };
  // The next thing to happen before `until_us`; `end` for q, Ctrl-C, a signal that ends programs,
  // or a terminal that is gone.
  Event wait_until(TimeUs until_us);

 private:
  Screen() = default;
  bool take_key();
  Event take_signal();

  Fd signals_;
  sigset_t mask_before_ = {};
  std::optional<termios> keys_before_;  // unset: keys come from no terminal, and are not read
  bool terminal_gone_ = false;
};

}  // namespace sheaf::cli
