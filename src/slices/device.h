#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "slices/gpu.h"
#include "slices/mps_life.h"

// What a CUDA program can be put on, a GpuPlace, as a value that outlives its inventory.
namespace sheaf::slices {

struct Device {
  unsigned gpu = 0;             // NVML's index of the card
  bool mig = false;             // one MIG device of it
  unsigned mig_index = 0;       // which, as NVML counts
  std::string place;            // "0" of a card, "0/3" or "0/3/1" of a MIG device
  std::string profile;          // "3g.20gb"; of a card its product's name
  std::string uuid, card_uuid;  // the same of a card
  std::uint64_t memory_bytes = 0;
  std::uint64_t free_bytes = 0;               // when it was read
  int numa_node = -1;                         // of the card; -1: unknown, or one for all
  std::optional<MpsLife> mps = std::nullopt;  // of its MPS daemon, where DeviceWatch looks for it

  std::string name() const { return (mig ? "mig:" : "gpu:") + place; }
  // By its name, "0:2" (card and MIG index) or UUID, or by those of what it is cut from: "mig:0/3"
  // means all compute instances of that GPU instance, "gpu:0", "0" and "mig:0" all that card 0 is
  // cut into.
  bool is_meant_by(std::string_view word) const;
};

// Those that CUDA_VISIBLE_DEVICES shows, by card, then by GPU instance. A card in MIG mode is its
// MIG devices; one that is not cut is nothing, and neither is what NVML told no UUID of. Compute
// instances of one GPU instance count as having an even part of its memory.
std::vector<Device> devices_of(const GpuInventory& inventory);

}  // namespace sheaf::slices
