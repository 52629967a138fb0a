#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"
#include "cli/command.h"

namespace sheaf::cli {

// What the verbs of `sheaf slices` are told.
struct SlicesSettings {
  std::vector<std::string> words;  // behind the verb
  std::vector<std::string> gpus;   // indexes or UUIDs
  std::string model;               // a card of the table
  std::string label;               // in mig-parted's file
  std::string format = "sheaf";
  std::string folder;  // of the machine's lock, journal and helper
  std::vector<std::string> allow_users, allow_groups;
  TimeUs wait_us = 10 * kSecond;  // for another's change
  std::string sharing = "none";   // of env kubernetes and env slurm
  std::uint32_t replicas = 2;     // of each card or slice, where it is shared
  bool repartition = false;
  bool drain = false;
  bool json = false;
};

// Each a verb; gives the exit code. assert: 1 where the machine differs.
int slices_mig(const SlicesSettings& settings);
int slices_apply(const SlicesSettings& settings);
int slices_export(const SlicesSettings& settings);
int slices_assert(const SlicesSettings& settings);
int slices_daemon(const SlicesSettings& settings);
// 0 all well, 1 warnings, 2 errors.
int slices_check(const SlicesSettings& settings);
int slices_env(const SlicesSettings& settings);
int slices_try(const SlicesSettings& settings);

// With flags of their own.
int slices_lease(Arguments arguments);
int slices_mps(Arguments arguments);

}  // namespace sheaf::cli
