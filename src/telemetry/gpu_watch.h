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
  // Never called for alerts.
  std::function<void(const slices::XidOrder&)> carry_out = {};
  // A card that was drained has been reset, and may be used again.
  std::function<void(unsigned gpu)> card_is_well = {};
  // Both: on a thread of the watch, one call at a time, without its mutex.
};

// Looks after the machine's cards for a server: samples them for the metrics, and answers their
// Xids: a sentence in the log, a count, and an order where something is to be done. What was
// drained for one is told to be well when it was reset. Without NVML it does nothing. Thread-safe.
class GpuWatch {
 public:
  // `metrics` outlives it; nobody may be scraping them when it is destroyed.
  GpuWatch(Metrics& metrics, GpuWatchOptions options);
  ~GpuWatch();

  // Its sampler says so; one thread a card.
  void on_xid(const slices::XidEvent& event);
  void on_reading(unsigned gpu, const slices::CardReading& reading);

 private:
  GpuReadings readings() const;

  Metrics& metrics_;
  const std::function<void(const slices::XidOrder&)> carry_out_;
  const std::function<void(unsigned)> card_is_well_;
  mutable std::mutex mutex_;  // guards the two below
  slices::XidReactions reactions_;
  std::map<std::pair<unsigned, slices::XidReaction>, std::uint64_t> counts_;
  std::mutex orders_mutex_;  // held while one is carried out
  slices::Sampler sampler_;  // last: its threads call the above
};

}  // namespace sheaf::telemetry
