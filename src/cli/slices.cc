#include "cli/slices.h"

#include <fmt/core.h>

#include "cli/client_flags.h"
#include "cli/flag_set.h"

// `sheaf slices`: what the machine has and how it is cut.
namespace sheaf::cli {
namespace {

struct SlicesSettings {
  bool json = false;
};

FlagSet flags_for(SlicesSettings& s) {
  FlagSet flags("sheaf slices [flags]", "What this machine has and how it is cut.");
  flags.add({"json", "", "print JSON"}, boolean(s.json));
  flags.set_epilogue(
      "Cards outside CUDA_VISIBLE_DEVICES are listed and marked. SHEAF_NVML names\n"
      "another libnvidia-ml.so.1.\n"
      "exit codes: 0 done, 1 failed, 2 wrong usage\n");
  return flags;
}

int show(const SlicesSettings& settings) {
  const auto here = look_at_slices();
  if (!here.ok()) return fail("slices", here.error());
  if (settings.json)
    fmt::print("{}\n", facts_of(*here).dump(2, ' ', false,
                                            nlohmann::ordered_json::error_handler_t::replace));
  else
    fmt::print("{}", tree_of(*here));
  return kExitOk;
}

}  // namespace

int slices_command(Arguments arguments) {
  SlicesSettings settings;
  FlagSet flags = flags_for(settings);
  if (const auto done = take_client_flags("slices", flags, arguments)) return *done;
  return show(settings);
}

}  // namespace sheaf::cli
