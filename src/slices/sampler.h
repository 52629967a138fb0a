#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "slices/card_sampler.h"
#include "slices/slice_sample.h"
#include "slices/xid.h"

namespace sheaf::slices {

struct SamplerOptions {
  TimeUs interval_us = kSecond;  // at least 0.2 s: GPM tells nothing of shorter spans
  // All are called on the sampler's threads, several at a time, without a lock of its own; never
  // after its destructor has begun to wait.
  BusyTime busy_time = {};
  std::function<void(const XidEvent&)> on_xid = {};
  // Of each reading that went well or found the card lost; on the thread of its Xids.
  std::function<void(unsigned gpu, const CardReading&)> on_reading = {};
};

// Reads the cards of this machine about once a second, each on a thread of its own, and hears of
// their Xids. NVML's calls may hang for as long as a card does: that holds up its own thread and
// nobody else, and is a value of the samples. Nothing here waits for NVML but its threads, which
// open it too. On a machine without NVML they end at once.
//
// Thread-safe.
class Sampler {
 public:
  explicit Sampler(SamplerOptions options = {});
  // Waits half a second for its threads. Those whose cards hang are left alone: they end when the
  // card answers, and only then is NVML closed.
  ~Sampler();
  Sampler(const Sampler&) = delete;
  Sampler& operator=(const Sampler&) = delete;

  // By card, each followed by its MIG devices, as they were last read. A card that was never read
  // has nothing but its index and the reason, or how long it has been silent.
  std::vector<SliceSample> samples() const;
  // Fails while there are no cards to read: not_found where NVML is not there, deadline_exceeded
  // while it has not answered, and what Nvml::open() says.
  Status status() const;

  // Waits until each card was read so often or fails to be, or NVML turned out not to be there;
  // false if `timeout_us` was over before.
  bool wait_for_readings(unsigned count, TimeUs timeout_us) const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace sheaf::slices
