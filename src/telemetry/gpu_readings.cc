#include "telemetry/gpu_readings.h"

#include <prometheus/metric_family.h>

#include <algorithm>
#include <optional>
#include <string>

#include "telemetry/family.h"

namespace sheaf::telemetry {
namespace {

using prometheus::MetricFamily;
using prometheus::MetricType;
using slices::SliceSample;

constexpr double kSecondsPerMicrosecond = 1e-6;

Labels labels_of_slice(const SliceSample& sample) {
  return {{"index", std::to_string(sample.gpu)}, {"uuid", sample.uuid}, {"slice", sample.slice}};
}

template <class Number>
std::optional<double> scaled(const std::optional<Number>& number, double scale) {
  return number ? std::optional(static_cast<double>(*number) * scale) : std::nullopt;
}

struct GaugeRow {
  const char *name, *help;
  std::optional<double> (*value)(const SliceSample&);
};

constexpr GaugeRow kGauges[] = {
    {"sheaf_gpu_multiprocessor_load_ratio", "Part of the multiprocessors that was busy",
     [](const SliceSample& s) { return s.multiprocessor_load; }},
    {"sheaf_gpu_memory_bandwidth_ratio", "Part of the memory bandwidth that was used",
     [](const SliceSample& s) { return s.memory_load; }},
    {"sheaf_gpu_memory_used_bytes", "Memory in use, whoever uses it",
     [](const SliceSample& s) { return scaled(s.memory_used_bytes, 1); }},
    {"sheaf_gpu_memory_bytes", "Memory of the card or slice",
     [](const SliceSample& s) { return scaled(s.memory_bytes, 1); }},
    {"sheaf_gpu_temperature_celsius", "Temperature of the chip",
     [](const SliceSample& s) { return scaled(s.temperature_c, 1); }},
    {"sheaf_gpu_power_watts", "Power that the card draws",
     [](const SliceSample& s) { return scaled(s.power_mw, 1e-3); }},
    {"sheaf_gpu_power_limit_watts", "Power that it may draw",
     [](const SliceSample& s) { return scaled(s.power_limit_mw, 1e-3); }},
    {"sheaf_gpu_sm_clock_hertz", "Clock of the multiprocessors",
     [](const SliceSample& s) { return scaled(s.sm_clock_mhz, 1e6); }},
    {"sheaf_gpu_memory_clock_hertz", "Clock of the memory",
     [](const SliceSample& s) { return scaled(s.memory_clock_mhz, 1e6); }},
};

void append_loads(const std::vector<SliceSample>& samples, std::vector<MetricFamily>& out) {
  Family loads(out, "sheaf_gpu_load_ratio",
               "Part of the time in which something ran; source busy_time: of sheaf's own alone",
               MetricType::Gauge);
  for (const SliceSample& sample : samples) {
    if (!sample.load || !sample.is_fresh()) continue;
    Labels labels = labels_of_slice(sample);
    labels.push_back({"source", std::string(name_of(sample.load_source))});
    loads.add(std::move(labels), *sample.load);
  }
}

void append_ages(const std::vector<SliceSample>& samples, std::vector<MetricFamily>& out) {
  Family ages(out, "sheaf_gpu_sample_age_seconds", "Since the card was last read",
              MetricType::Gauge);
  Family silences(out, "sheaf_gpu_silent_seconds",
                  "For how long the card has owed an answer to the call under way",
                  MetricType::Gauge);
  for (const SliceSample& sample : samples) {
    if (sample.age_us)
      ages.add(labels_of_slice(sample), double(*sample.age_us) * kSecondsPerMicrosecond);
    if (!sample.gpu_instance)
      silences.add(labels_of_slice(sample), double(sample.silent_us) * kSecondsPerMicrosecond);
  }
}

void append_out_of_use(const std::vector<SliceSample>& samples, std::vector<MetricFamily>& out) {
  Family states(out, "sheaf_gpu_out_of_use", "Whether an Xid has taken the card out of use",
                MetricType::Gauge);
  for (const SliceSample& sample : samples)
    if (!sample.gpu_instance)
      states.add(labels_of_slice(sample), sample.out_of_use.empty() ? 0 : 1);
}

void append_xids(const std::vector<SliceSample>& samples, std::vector<MetricFamily>& out) {
  Family xids(out, "sheaf_gpu_xids_total", "Xid events of the card, by number",
              MetricType::Counter);
  for (const SliceSample& sample : samples)
    for (const auto& [number, count] : sample.xids) {
      Labels labels = labels_of_slice(sample);
      labels.push_back({"xid", std::to_string(number)});
      xids.add(std::move(labels), double(count));
    }
}

void append_reactions(const GpuReadings& readings, std::vector<MetricFamily>& out) {
  Family reactions(out, "sheaf_gpu_xid_reactions_total", "What Xids were answered with",
                   MetricType::Counter);
  for (const auto& [key, count] : readings.reactions) {
    const auto& [gpu, reaction] = key;
    const auto card = std::ranges::find(readings.samples, gpu, &SliceSample::gpu);
    if (card == readings.samples.end()) continue;
    Labels labels = labels_of_slice(*card);
    labels.push_back({"reaction", std::string(name_of(reaction))});
    reactions.add(std::move(labels), double(count));
  }
}

}  // namespace

void append_gpus(const GpuReadings& readings, std::vector<MetricFamily>& out) {
  append_loads(readings.samples, out);
  for (const GaugeRow& row : kGauges) {
    Family family(out, row.name, row.help, MetricType::Gauge);
    for (const SliceSample& sample : readings.samples) {
      const auto value = sample.is_fresh() ? row.value(sample) : std::nullopt;
      if (value) family.add(labels_of_slice(sample), *value);
    }
  }
  append_ages(readings.samples, out);
  append_out_of_use(readings.samples, out);
  append_xids(readings.samples, out);
  append_reactions(readings, out);
}

}  // namespace sheaf::telemetry
