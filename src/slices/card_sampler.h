#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "slices/nvml.h"
#include "slices/slice_sample.h"
#include "slices/xid.h"

namespace sheaf::slices {

// The time that sheaf's own replicas have computed so far on a slice ("mig:0/3"), or nothing where
// none runs.
using BusyTime = std::function<std::optional<TimeUs>(const std::string& slice)>;

// Reads one card again and again, and remembers what rates are made from: GPM's last samples and
// the busy times. One thread. It waits for the card as long as NVML does.
class CardSampler {
 public:
  // `nvml` outlives it.
  CardSampler(const Nvml& nvml, unsigned gpu, BusyTime busy_time);

  // The card, then its MIG devices in NVML's order; each as of now, with age 0. Loads by GPM and by
  // busy time begin with the second reading, at least 200 ms after the first. Fails where the card
  // does not even tell its identity or memory.
  Result<std::vector<SliceSample>> read();

  // Waits until an Xid of the card comes, at most `timeout_ms`. An error, at once, where the driver
  // does not tell them or is at a loss: there is nothing to wait for.
  Result<std::optional<XidEvent>> wait_for_xid(unsigned timeout_ms);

 private:
  struct Remembered {
    NvmlGpmSample sample;
    TimeUs at_us = 0;
  };
  struct BusySoFar {
    TimeUs busy_us = 0, at_us = 0;
  };

  Result<SliceSample> read_card(abi::Device card);
  void read_mig_devices(abi::Device card, std::vector<SliceSample>& samples);
  Result<SliceSample> read_mig_device(abi::Device card, const Nvml::MigDevice& device);
  void read_load(abi::Device card, SliceSample& sample);
  bool take_gpm(abi::Device card, SliceSample& sample);
  void take_busy_time(SliceSample& sample);
  Status watch();

  const Nvml& nvml_;
  const unsigned gpu_;
  const BusyTime busy_time_;
  std::optional<bool> has_gpm_;
  std::map<unsigned, Remembered> gpm_;  // by GPU instance, or kNoInstance
  std::map<unsigned, GpmLoad> loads_;   // of this reading: compute instances share them
  std::map<std::string, BusySoFar> busy_;
  NvmlEventSet events_;
};

}  // namespace sheaf::slices
