#include <fmt/core.h>
#include <grp.h>
#include <pwd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "cli/command.h"
#include "cli/flag_value.h"
#include "cli/slices_verbs.h"
#include "slices/slice_helper.h"

// `sheaf slices daemon`: the privileged helper, in the foreground until SIGTERM or SIGINT.
namespace sheaf::cli {
namespace {

Result<slices::HelperOptions> options_of(const SlicesSettings& settings) {
  slices::HelperOptions options{settings.folder, {}, {}};
  for (const std::string& name : settings.allow_users) {
    const passwd* user = getpwnam(name.c_str());
    if (user == nullptr) return usage_error(fmt::format("there is no user {}", name));
    options.users.push_back(user->pw_uid);
  }
  for (const std::string& name : settings.allow_groups) {
    const group* found = getgrnam(name.c_str());
    if (found == nullptr) return usage_error(fmt::format("there is no group {}", name));
    options.groups.push_back(found->gr_gid);
  }
  return options;
}

// Readable when this process is asked to end.
Result<Fd> stop_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  if (sigprocmask(SIG_BLOCK, &signals, nullptr) != 0) return errno_error("sigprocmask", errno);
  Fd fd(signalfd(-1, &signals, SFD_CLOEXEC));
  if (!fd) return errno_error("signalfd", errno);
  return fd;
}

}  // namespace

int slices_daemon(const SlicesSettings& settings) {
  const auto options = options_of(settings);
  if (!options.ok()) return fail("slices", options.error(), kExitUsage);
  const auto stop = stop_signals();
  if (!stop.ok()) return fail("slices", stop.error());
  auto helper = slices::SliceHelper::start(*options);
  if (!helper.ok()) return fail("slices", helper.error());
  fmt::print("sheaf slices: listening at {}/socket\n", settings.folder);
  std::fflush(stdout);
  const Status served = helper->serve(stop->get());
  return served.ok() ? kExitOk : fail("slices", served.error());
}

}  // namespace sheaf::cli
