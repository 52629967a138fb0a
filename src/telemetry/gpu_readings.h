#pragma once

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "slices/slice_sample.h"
#include "slices/xid.h"

namespace prometheus {
struct MetricFamily;
}

namespace sheaf::telemetry {

// What is known of the machine's cards at a scrape.
struct GpuReadings {
  std::vector<slices::SliceSample> samples;
  // How often each reaction to an Xid was asked for, by card.
  std::map<std::pair<unsigned, slices::XidReaction>, std::uint64_t> reactions;
};

// As metric families: `sheaf_gpu_…` with labels index, uuid and slice. Gauges are left out for as
// long as the card does not answer, so that nobody takes old values for new ones; its age, its
// silence and the counts of Xids stay.
void append_gpus(const GpuReadings& readings, std::vector<prometheus::MetricFamily>& out);

}  // namespace sheaf::telemetry
