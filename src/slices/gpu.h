#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "slices/mig_table.h"
#include "slices/nvml.h"

// The cards of this machine as they are now. Plain values: read once, stale from then on.
namespace sheaf::slices {

struct GpuProcess {
  unsigned pid = 0;
  std::string name;  // of its program; empty where it cannot be read
  std::uint64_t bytes = 0;
  Nvml::ProcessKind kind = Nvml::ProcessKind::compute;
  // Of cards in MIG mode.
  std::optional<unsigned> gpu_instance, compute_instance;
};

// A MIG device: one compute instance. Its memory is the whole GPU instance's.
struct ComputeInstance {
  unsigned id = 0, profile_id = 0;
  unsigned start = 0, size = 0;  // compute slices of its GPU instance
  std::string name;              // "1c.3g.20gb", or the GPU instance's where it takes all of it
  std::string uuid;              // "MIG-…"; empty where NVML does not tell it
  bool visible = true;           // within CUDA_VISIBLE_DEVICES
};

struct GpuInstance {
  unsigned id = 0, profile_id = 0;
  unsigned start = 0, size = 0;  // memory slices
  std::string name;              // "3g.20gb"
  std::uint64_t memory_bytes = 0;
  std::optional<std::uint64_t> free_bytes;  // known while there is a compute instance
  std::vector<ComputeInstance> compute;     // by id; none: nothing can run here
};

// A value is missing where the card has no such thing; where NVML refused it, `notes` says why.
struct Gpu {
  unsigned index = 0;             // NVML's: by the bus
  std::optional<unsigned> minor;  // of /dev/nvidiaN and the capability files
  std::string name, uuid, bus_id;
  std::uint32_t pci_id = 0;
  int numa_node = -1;  // -1: unknown, or one for all
  int compute_capability_major = 0, compute_capability_minor = 0;
  int compute_capability() const {  // 90 for 9.0
    return compute_capability_major * 10 + compute_capability_minor;
  }
  std::uint64_t memory_bytes = 0, free_bytes = 0;
  std::optional<unsigned> temperature_c, power_mw, power_limit_mw;
  std::optional<unsigned> utilization_percent;
  std::optional<unsigned> compute_mode;  // NVML's numbers
  std::optional<bool> persistence;
  std::optional<bool> ecc_enabled, retired_pages_pending;
  std::optional<std::uint64_t> uncorrected_ecc_errors;
  std::optional<Nvml::RemappedRows> remapped_rows;
  std::optional<Nvml::PcieLink> pcie;
  std::optional<std::uint64_t> throttle_reasons;
  std::optional<unsigned> recovery_action;
  unsigned nvlinks = 0;                // active
  std::optional<Nvml::MigMode> mig;    // nullopt: this card has no MIG
  std::vector<GpuInstance> instances;  // by start
  bool instances_known = true;         // false: NVML would not list them
  std::vector<GpuProcess> processes;   // by pid
  bool visible = true;  // the card, or something on it, is within CUDA_VISIBLE_DEVICES
  std::vector<std::string> notes;
  // How it may be cut, as the card itself tells or else by the table; nullptr for cards that
  // neither knows. Shared: geometries point into it.
  std::shared_ptr<const CardModel> model;
};

struct GpuInventory {
  std::string driver_version, nvml_version;
  int cuda_version = 0;  // 12040 for 12.4
  std::vector<Gpu> gpus;
  std::vector<std::string> notes;  // on CUDA_VISIBLE_DEVICES
  bool simulated = false;          // made up by the tests' library
};

// What is read of a card: all, or what devices_of() goes by, which is far less.
enum class Reading { all, devices };

// Never fails as a whole but where NVML cannot count the cards: what cannot be read of a card is a
// note. `visible_devices`: the value of CUDA_VISIBLE_DEVICES, or nullptr.
Result<GpuInventory> read_gpus(const Nvml& nvml, const char* visible_devices,
                               Reading reading = Reading::all);
// One card, without regard to CUDA_VISIBLE_DEVICES.
Result<Gpu> read_gpu(const Nvml& nvml, unsigned index, Reading reading = Reading::all);

// What runs on a card or MIG device, by pid; what NVML refuses to list is left out.
std::vector<GpuProcess> processes_of(const Nvml& nvml, abi::Device device);

// Sets `visible` as CUDA would: indexes, UUIDs or their beginnings, MIG UUIDs in both forms, up to
// the first word that names nothing; nullptr shows all. Notes say what was not found, and where
// indexes may mean other cards to CUDA.
void mark_visible(GpuInventory& inventory, const char* visible_devices);

// "driver 550.90.07, CUDA 12.4".
std::string versions_of(const GpuInventory& inventory);

}  // namespace sheaf::slices
