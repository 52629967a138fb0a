#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/command.h"
#include "slices/gpu.h"
#include "slices/lease.h"
#include "slices/mps.h"
#include "slices/slice.h"

// What the verbs of `sheaf slices` share.
namespace sheaf::cli {

// What the machine has. Without NVML there are no cards and a reason.
struct SlicesHere {
  slices::Machine machine;
  slices::GpuInventory gpus;
  std::string no_gpus_because;        // empty where NVML answered
  std::vector<slices::Lease> leases;  // these two where asked for
  std::vector<slices::MpsDaemon> mps;
};
Result<SlicesHere> look_at_slices();

// As a tree for people, and as facts for programs.
std::string tree_of(const SlicesHere& here);
nlohmann::ordered_json facts_of(const SlicesHere& here);

}  // namespace sheaf::cli
