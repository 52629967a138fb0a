#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "slices/gpu.h"

namespace sheaf::slices {

// Who says how busy a slice was: GPM's counters (Hopper and later), NVML's utilization (whole cards
// without MIG), the kernel (processor cores), or sheaf itself, by the time its own replicas
// computed there: what others do on the slice is not in that.
enum class LoadSource { none, gpm, nvml, kernel, busy_time };
std::string_view name_of(LoadSource source);  // "none", "gpm", "nvml", "kernel", "busy_time"
std::optional<LoadSource> parse_load_source(std::string_view name);

// Whether a replica's slice ("time:0#1") is this card or MIG device ("gpu:0") or a share of it.
bool is_slice_of(std::string_view slice, std::string_view whole);

// A card or a MIG device as it was last read; to `sheaf top` a set of cores is one too. Plain
// values; what it does not tell is missing.
struct SliceSample {
  std::string
      slice;         // "gpu:0", "mig:0/3", "mig:0/3/1", "cores:0-1": as replicas' slices are called
  unsigned gpu = 0;  // NVML's index of the card
  std::optional<unsigned> gpu_instance, compute_instance;  // of a MIG device
  std::string name;  // "NVIDIA H200", "NVIDIA H200 MIG 1g.18gb"
  std::string uuid;
  bool cut = false;  // a card in MIG mode: nothing but its MIG devices computes

  LoadSource load_source = LoadSource::none;
  std::optional<double> load;  // 0 to 1: part of the time in which something ran
  // GPM's alone, 0 to 1, like its load of the whole GPU instance: multiprocessors that were busy,
  // bandwidth that was used.
  std::optional<double> multiprocessor_load, memory_load;
  std::optional<std::uint64_t> memory_used_bytes, memory_bytes;
  std::optional<unsigned> temperature_c, power_mw, power_limit_mw;  // of cards
  std::optional<unsigned> sm_clock_mhz, memory_clock_mhz;           // of cards
  std::optional<unsigned> recovery_action;  // of cards: NVML's field 230, as in xid.h
  std::vector<GpuProcess> processes;

  std::map<unsigned, std::uint64_t> xids;  // number to count, since the sampler began
  // Why a server puts no replica there: "drained after Xid 48"; empty: it may, or none was asked.
  std::string out_of_use;
  std::optional<TimeUs> age_us;  // of the values above; nothing was read yet without it
  TimeUs silent_us = 0;          // for how long a call of now has waited for the card
  std::string error;             // of the last reading; empty: it went well

  // The values are of now: the card answers, and they were read in the last seconds.
  bool is_fresh() const;
};

}  // namespace sheaf::slices
