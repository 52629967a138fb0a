#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "slices/cgroup_memory.h"
#include "slices/gpu.h"
#include "slices/slice.h"

// What is wrong with cards and machine, as a doctor says it: what, why it matters, what repairs it.
namespace sheaf::slices {

enum class Health { ok, warning, error };
std::string_view name_of(Health health);

// The two questions, and what is common to both.
enum class Question { machine, cut, run };
std::string_view name_of(Question question);

struct Finding {
  Health health = Health::ok;
  Question question = Question::machine;
  std::optional<unsigned> gpu;  // NVML's index
  std::string what;             // "persistence mode is off"
  std::string why;              // empty where all is well
  std::string repair;           // a command, where there is one
};

// What the operating system says, apart from NVML.
struct HostFacts {
  Machine machine;
  std::uint64_t open_files_max = 0;       // hard limit
  std::uint64_t locked_memory_bytes = 0;  // hard limit; UINT64_MAX: none
  CgroupMemory cgroup;
  bool fabric_manager_runs = false;
  bool has_docker = false, has_container_toolkit = false;
  std::optional<std::string> driver_capabilities;  // NVIDIA_DRIVER_CAPABILITIES, where it is set
  std::vector<std::string> missing_nodes;          // of those that a whole card needs
  bool has_mig_capabilities = false;               // /proc/driver/nvidia/capabilities/mig/config
  struct CardProgram {
    std::string path;     // of sheaf-replica-cuda; empty: it is not there
    std::string refusal;  // why it says that it cannot compute here; empty: it can
    // By what ranks on several cards add up, or why they cannot; both empty: there is one card.
    std::string sums_by = {}, no_sums_because = {};
  };
  std::optional<CardProgram> card_program;  // nothing: not asked, as of simulated cards
};
// For these cards, on this machine.
HostFacts read_host(const Machine& machine, const GpuInventory& gpus);

// Pure. Findings in the order of the machine, then of the cards; each thing that was looked at
// gives one, also where it is well. `no_gpus_because`: why NVML did not answer, or empty.
std::vector<Finding> examine(const GpuInventory& gpus, const HostFacts& host,
                             const std::string& no_gpus_because);

Health worst_of(const std::vector<Finding>& findings);

// -1, 0, 1 by number: "450.80.02" before "450.119.03".
int compare_versions(std::string_view a, std::string_view b);

}  // namespace sheaf::slices
