#include "cli/screen.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <string_view>

namespace sheaf::cli {
namespace {

constexpr std::string_view kEnter = "\033[?1049h\033[?25l\033[H\033[2J";
constexpr std::string_view kLeave = "\033[?25h\033[?1049l";

sigset_t signals_of_terminal() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH}) sigaddset(&set, signal);
  return set;
}

// False where nobody is there to read it.
bool write_all(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(STDOUT_FILENO, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

// Keys come one by one and are not shown. Ctrl-Z would leave the shell with this screen.
std::optional<termios> take_keys() {
  termios before = {};
  if (::isatty(STDIN_FILENO) != 1 || ::tcgetattr(STDIN_FILENO, &before) != 0) return std::nullopt;
  termios now = before;
  now.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
  now.c_cc[VSUSP] = _POSIX_VDISABLE;
  now.c_cc[VMIN] = 0;
  now.c_cc[VTIME] = 0;
  if (::tcsetattr(STDIN_FILENO, TCSANOW, &now) != 0) return std::nullopt;
  return before;
}

int milliseconds_until(TimeUs until_us) {
  const TimeUs left_us = std::clamp<TimeUs>(until_us - monotonic_us(), 0, 3600 * kSecond);
  return static_cast<int>((left_us + 999) / 1000);
}

}  // namespace

Result<Screen> Screen::open() {
  if (::isatty(STDOUT_FILENO) != 1)
    return Error{ErrorCode::unsupported, "standard output is no terminal"};
  Screen screen;
  const sigset_t heard = signals_of_terminal();
  screen.signals_ = Fd(::signalfd(-1, &heard, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!screen.signals_) return errno_error("signalfd", errno);
  ::pthread_sigmask(SIG_BLOCK, &heard, &screen.mask_before_);
  screen.keys_before_ = take_keys();
  write_all(kEnter);
  return screen;
}

Screen::~Screen() {
  if (!signals_) return;  // moved from
  write_all(kLeave);
  if (keys_before_) ::tcsetattr(STDIN_FILENO, TCSANOW, &*keys_before_);
  // What came meanwhile has been answered: the way out is under way.
  while (take_signal() != Event::time_is_over) {
  }
  ::pthread_sigmask(SIG_SETMASK, &mask_before_, nullptr);
}

Screen::Size Screen::size() const {
  winsize window = {};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) != 0 || window.ws_col == 0 || window.ws_row == 0)
    return {};
  return {window.ws_col, window.ws_row};
}

void Screen::draw(const std::string& lines) {
  std::string frame = "\033[H";
  for (std::size_t at = 0; at < lines.size();) {
    const std::size_t end = std::min(lines.find('\n', at), lines.size());
    // No newline behind the last one: it would scroll a full screen.
    if (at > 0) frame += "\r\n";
    frame.append(lines, at, end - at).append("\033[K");
    at = end + 1;
  }
  if (!write_all(frame += "\033[J")) terminal_gone_ = true;
}

// True for a key that ends.
bool Screen::take_key() {
  char keys[64];
  const ssize_t count = ::read(STDIN_FILENO, keys, sizeof keys);
  if (count > 0)
    return std::string_view(keys, static_cast<std::size_t>(count)).find_first_of("qQ\3") !=
           std::string_view::npos;
  return count == 0 || errno != EINTR;  // the terminal was closed
}

Screen::Event Screen::take_signal() {
  signalfd_siginfo signal = {};
  if (::read(signals_.get(), &signal, sizeof signal) != sizeof signal) return Event::time_is_over;
  return signal.ssi_signo == SIGWINCH ? Event::resized : Event::end;
}

Screen::Event Screen::wait_until(TimeUs until_us) {
  if (terminal_gone_) return Event::end;
  pollfd waited[] = {{signals_.get(), POLLIN, 0}, {keys_before_ ? STDIN_FILENO : -1, POLLIN, 0}};
  const int ready = ::poll(waited, std::size(waited), milliseconds_until(until_us));
  if (ready < 0) return errno == EINTR ? Event::key : Event::end;
  if (waited[0].revents != 0) return take_signal();
  if (waited[1].revents != 0) return take_key() ? Event::end : Event::key;
  return Event::time_is_over;
}

}  // namespace sheaf::cli
