#include "cli/client_flags.h"

#include <fmt/core.h>

#include <cstdlib>

namespace sheaf::cli {
namespace {

const char* client_variable(const char* name) {
  const std::string_view wanted = name;
  return wanted == "SHEAF_API_KEY" || wanted == "SHEAF_SERVER" ? std::getenv(name) : nullptr;
}

}  // namespace

std::optional<int> take_client_flags(std::string_view command, FlagSet& flags, Arguments arguments,
                                     const std::function<Status()>& check) {
  Status read = flags.take_arguments(arguments);
  if (flags.help_wanted()) {
    fmt::print("{}", flags.help());
    return kExitOk;
  }
  flags.take_environment(client_variable);
  if (read.ok()) read = flags.apply();
  if (read.ok()) read = check();
  if (!read.ok()) return fail(command, read.error(), kExitUsage);
  return std::nullopt;
}

}  // namespace sheaf::cli
