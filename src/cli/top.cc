#include <fmt/core.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <optional>
#include <thread>
#include <utility>

#include "cli/client_flags.h"
#include "cli/command.h"
#include "cli/flag_set.h"
#include "cli/screen.h"
#include "cli/top_source.h"
#include "cli/top_view.h"

// `sheaf top`: how busy the slices are, and what runs there.
namespace sheaf::cli {
namespace {

constexpr std::size_t kPlainColumns = 80, kPlainRows = 10'000;  // not on a terminal: all of it
constexpr TimeUs kLeastIntervalUs = 200'000;                    // GPM tells nothing of less
// For cards to be read: the first time, before the first picture; twice, before something is
// printed.
constexpr TimeUs kFirstPatienceUs = 500'000, kPatienceUs = 3 * kSecond;

struct TopSettings {
  std::string server, api_key;
  TimeUs interval_us = kSecond;
  bool once = false, json = false;
};

FlagSet flags_for(TopSettings& s) {
  FlagSet flags("sheaf top [flags]", "How busy the slices of this machine are, what runs there.");
  flags.add({"server", "HOST:PORT", "whose replicas are shown", "", "127.0.0.1:8080"},
            text(s.server));
  flags.add({"api-key", "K", "key to send to it", "", "none", true}, text(s.api_key));
  flags.add({"interval", "T", "from one look to the next"}, duration(s.interval_us));
  flags.add({"once", "", "print it once, after two looks"}, boolean(s.once));
  flags.add({"json", "", "print JSON, a line a look"}, boolean(s.json));
  flags.set_epilogue(
      "Cards and MIG devices by NVML, cores by the kernel, replicas by their server.\n"
      "LOAD is the part of the time in which something ran, and who says so: gpm\n"
      "(NVML's counters, Hopper and later), nvml (cards that are not cut), cpu (the\n"
      "kernel), busy (sheaf: the time in which its replicas computed; what others do\n"
      "there is not in it). MEMORY of cores is what their replicas have, the weights\n"
      "that they share counted for each; of a replica divided over processes it is the\n"
      "first one's. A server at another address than loopback is another machine: then\n"
      "it is that one's slices, as the server tells.\n"
      "On a terminal: redrawn until q or Ctrl-C. Else as with --once.\n"
      "SHEAF_SERVER and SHEAF_API_KEY are --server and --api-key.\n"
      "exit codes: 0 done, 1 the named server does not answer, 2 wrong usage\n"
      "example: sheaf top --once --json | jq '.slices[] | {slice, load}'\n");
  return flags;
}

Status check_interval(const TopSettings& settings) {
  if (settings.interval_us >= kLeastIntervalUs) return {};
  return usage_error(
      fmt::format("--interval is {}; at least 200ms are needed, which is how often cards tell "
                  "something new",
                  show_duration(settings.interval_us)));
}

void pause(TimeUs us) { std::this_thread::sleep_for(std::chrono::microseconds(us)); }

void print_json(const TopReport& report) {
  fmt::print("{}\n", facts_of(report).dump(-1, ' ', false,
                                           nlohmann::ordered_json::error_handler_t::replace));
  std::fflush(stdout);
}

// The second look, whose rates are those between the two.
TopReport look_twice(TopSource& source, TimeUs interval_us) {
  source.look();
  pause(interval_us);
  source.wait_for_cards(2, kPatienceUs);
  return source.look();
}

int print_once(TopSource& source, const TopSettings& settings) {
  const TopReport report = look_twice(source, settings.interval_us);
  if (settings.json)
    print_json(report);
  else
    fmt::print("{}", text_of(report, kPlainColumns, kPlainRows));
  return kExitOk;
}

// Until nobody reads it any more.
int print_lines(TopSource& source, const TopSettings& settings) {
  print_json(look_twice(source, settings.interval_us));
  while (std::ferror(stdout) == 0) {
    pause(settings.interval_us);
    print_json(source.look());
  }
  return kExitOk;
}

int redraw(Screen& screen, TopSource& source, const TopSettings& settings) {
  source.wait_for_cards(1, kFirstPatienceUs);
  TopReport report;
  for (TimeUs next_us = monotonic_us();;) {
    if (monotonic_us() >= next_us) {
      report = source.look();
      next_us = monotonic_us() + settings.interval_us;
    }
    const Screen::Size size = screen.size();
    screen.draw(text_of(report, size.columns, size.rows));
    if (screen.wait_until(next_us) == Screen::Event::end) return kExitOk;
  }
}

int run_top(const TopSettings& settings) {
  const auto address = parse_server_address(settings.server, 8080);
  if (!address.ok()) return fail("top", address.error(), kExitUsage);
  const bool plain = settings.once || settings.json || ::isatty(STDOUT_FILENO) != 1;
  // Before the source's threads, see there.
  std::optional<Screen> screen;
  if (!plain) {
    auto opened = Screen::open();
    if (!opened.ok()) return fail("top", opened.error());
    screen.emplace(std::move(*opened));
  }
  auto source = TopSource::create({*address, settings.api_key, settings.interval_us});
  if (!source.ok()) {
    screen.reset();  // the sentence belongs on the terminal's own
    return fail("top", source.error());
  }
  if (screen) return redraw(*screen, **source, settings);
  if (!settings.server.empty())
    if (const TopReport first = (*source)->look(); !first.server_silent.empty())
      return fail("top", {ErrorCode::unavailable, first.server_silent});
  return settings.json && !settings.once ? print_lines(**source, settings)
                                         : print_once(**source, settings);
}

}  // namespace

int top_command(Arguments arguments) {
  TopSettings settings;
  FlagSet flags = flags_for(settings);
  const auto check = [&settings] { return check_interval(settings); };
  if (const auto done = take_client_flags("top", flags, arguments, check)) return *done;
  return run_top(settings);
}

}  // namespace sheaf::cli
