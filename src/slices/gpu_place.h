#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "slices/gpu.h"

namespace sheaf::slices {

// Where CUDA runs: a whole card, or one MIG device of it. Points into its inventory.
struct GpuPlace {
  const Gpu* gpu = nullptr;
  const GpuInstance* instance = nullptr;
  const ComputeInstance* compute = nullptr;
  unsigned mig_index = 0;  // NVML's, among the MIG devices of the card

  bool is_mig() const { return compute != nullptr; }
  const std::string& uuid() const { return is_mig() ? compute->uuid : gpu->uuid; }
  bool visible() const { return is_mig() ? compute->visible : gpu->visible; }
  std::uint64_t memory_bytes() const {
    return is_mig() ? instance->memory_bytes : gpu->memory_bytes;
  }
  bool runs(const GpuProcess& process) const;
  std::string name() const;  // "gpu:0"; "mig:0/3" (card, GPU instance), "mig:0/3/1" of a part of it
  std::string text() const;  // for people: "GPU 0", "mig:0/3 (1g.5gb)"
};

// Error invalid_argument: a card in MIG mode, which cannot be used as a whole; names its slices.
Status refuse_cut_card(const GpuPlace& place);

// Of one card, in the order of NVML's indexes: by GPU instance's id, then compute instance's.
std::vector<GpuPlace> mig_places(const Gpu& gpu);

// All that CUDA can use now: of cards in MIG mode their devices, of others the card.
std::vector<GpuPlace> usable_places(const std::vector<Gpu>& gpus);

// Its name, with or without "gpu:" and "mig:"; a UUID; card and MIG index, as Docker counts
// ("0:1"); card and GPU instance ("0/2") where one compute instance alone is in it.
Result<GpuPlace> find_place(const std::vector<Gpu>& gpus, const std::string& word);

}  // namespace sheaf::slices
