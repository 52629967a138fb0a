#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <utility>

#include "slices/sampler.h"
#include "slices/xid.h"
#include "telemetry/gpu_readings.h"
#include "telemetry/metrics.h"

namespace sheaf::telemetry {

struct GpuWatchOptions {
  TimeUs interval_us = kSecond;
  slices::BusyTime busy_time = {};
  // Restarts what ran there, drains or quarantines the card: for whoever runs replicas on cards.
  // Never called for alerts. On a thread of the watch, one call at a time, without its mutex.
  std::function<void(const slices::XidOrder&)> carry_out = {};
};

// Looks after the machine's cards for a server: samples them for the metrics, and answers their
// Xids: a sentence in the log, a count, and an order where something is to be done. Without NVML it
// does nothing. Thread-safe.
class GpuWatch {
 public:
  // `metrics` outlives it; nobody may be scraping them when it is destroyed.
  GpuWatch(Metrics& metrics, GpuWatchOptions options);
  ~GpuWatch();

  // Its sampler says so.
  void on_xid(const slices::XidEvent& event);
  // The card was reset, or is used again for another reason: its next Xid is answered as the first.
  void card_is_well(unsigned gpu);

 private:
  GpuReadings readings() const;

  Metrics& metrics_;
  const std::function<void(const slices::XidOrder&)> carry_out_;
  mutable std::mutex mutex_;  // guards the two below
  slices::XidReactions reactions_;
  std::map<std::pair<unsigned, slices::XidReaction>, std::uint64_t> counts_;
  std::mutex orders_mutex_;  // held while one is carried out
  slices::Sampler sampler_;  // last: its threads call the above
};

}  // namespace sheaf::telemetry
