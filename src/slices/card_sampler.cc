#include "slices/card_sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace sheaf::slices {
namespace {

// NVML's counters are renewed ten times a second; a span of two renewals is whole.
constexpr TimeUs kGpmSpanUs = 200'000;

template <class Value>
std::optional<Value> if_told(const Result<Value>& reading) {
  return reading.ok() ? std::optional<Value>(*reading) : std::nullopt;
}

std::optional<double> part_of_one(std::optional<double> percent) {
  return percent ? std::optional(std::clamp(*percent / 100, 0.0, 1.0)) : std::nullopt;
}

std::optional<unsigned> told_instance(unsigned id) {
  return id == abi::kNoInstance ? std::nullopt : std::optional(id);
}

std::string mig_slice(unsigned gpu, const Nvml::MigDevice& device) {
  const std::string instance = fmt::format("mig:{}/{}", gpu, device.gpu_instance);
  return device.whole ? instance : fmt::format("{}/{}", instance, device.compute_instance);
}

}  // namespace

CardSampler::CardSampler(const Nvml& nvml, unsigned gpu, BusyTime busy_time)
    : nvml_(nvml), gpu_(gpu), busy_time_(std::move(busy_time)) {}

Result<std::vector<SliceSample>> CardSampler::read() {
  loads_.clear();
  SHEAF_ASSIGN(const abi::Device card, nvml_.device(gpu_));
  std::vector<SliceSample> samples;
  SHEAF_ASSIGN(SliceSample whole, read_card(card));
  samples.push_back(std::move(whole));
  if (samples.front().cut) read_mig_devices(card, samples);
  // What is not there any more is not remembered: its ids may be another's tomorrow.
  std::erase_if(gpm_, [this](const auto& entry) { return !loads_.contains(entry.first); });
  std::erase_if(busy_, [&](const auto& entry) {
    return std::ranges::find(samples, entry.first, &SliceSample::slice) == samples.end();
  });
  return samples;
}

Result<SliceSample> CardSampler::read_card(abi::Device card) {
  SliceSample sample{.slice = fmt::format("gpu:{}", gpu_), .gpu = gpu_};
  SHEAF_ASSIGN(sample.uuid, nvml_.uuid(card));
  SHEAF_ASSIGN(const abi::Memory memory, nvml_.memory(card));
  sample.memory_used_bytes = memory.used;
  sample.memory_bytes = memory.total;
  sample.name = if_told(nvml_.name(card)).value_or("");
  sample.temperature_c = if_told(nvml_.temperature_c(card));
  sample.power_mw = if_told(nvml_.power_mw(card));
  sample.power_limit_mw = if_told(nvml_.power_limit_mw(card));
  sample.sm_clock_mhz = if_told(nvml_.sm_clock_mhz(card));
  sample.memory_clock_mhz = if_told(nvml_.memory_clock_mhz(card));
  sample.recovery_action = if_told(nvml_.recovery_action(card));
  const auto mig = nvml_.mig_mode(card);
  sample.cut = mig.ok() && mig->current;
  sample.processes = processes_of(nvml_, card);
  // What runs on an instance is told there.
  if (sample.cut)
    std::erase_if(sample.processes, [](const GpuProcess& p) { return p.gpu_instance.has_value(); });
  sample.age_us = 0;
  read_load(card, sample);
  return sample;
}

void CardSampler::read_mig_devices(abi::Device card, std::vector<SliceSample>& samples) {
  const auto devices = nvml_.mig_devices(card);
  if (!devices.ok()) return;
  for (const Nvml::MigDevice& device : *devices) {
    // One that cannot be read was destroyed since it was listed.
    auto sample = read_mig_device(card, device);
    if (sample.ok()) samples.push_back(std::move(*sample));
  }
}

Result<SliceSample> CardSampler::read_mig_device(abi::Device card, const Nvml::MigDevice& device) {
  SliceSample sample{.slice = mig_slice(gpu_, device),
                     .gpu = gpu_,
                     .gpu_instance = device.gpu_instance,
                     .compute_instance = device.compute_instance};
  SHEAF_ASSIGN(sample.uuid, nvml_.uuid(device.handle));
  SHEAF_ASSIGN(const abi::Memory memory, nvml_.memory(device.handle));
  sample.memory_used_bytes = memory.used;
  sample.memory_bytes = memory.total;
  sample.name = if_told(nvml_.name(device.handle)).value_or("");
  sample.processes = processes_of(nvml_, device.handle);
  sample.age_us = 0;
  read_load(card, sample);
  return sample;
}

void CardSampler::read_load(abi::Device card, SliceSample& sample) {
  if (take_gpm(card, sample)) return;
  if (!sample.gpu_instance) {
    if (const auto utilization = nvml_.utilization(card); utilization.ok()) {
      sample.load = part_of_one(utilization->gpu);
      sample.load_source = LoadSource::nvml;
      return;
    }
  }
  take_busy_time(sample);
}

// False where GPM does not tell the load. A second reading within the span keeps the first.
bool CardSampler::take_gpm(abi::Device card, SliceSample& sample) {
  if (!has_gpm_) has_gpm_ = if_told(nvml_.has_gpm(card));
  if (!has_gpm_.value_or(false)) return false;
  const unsigned whose = sample.gpu_instance.value_or(abi::kNoInstance);
  const auto [load, first] = loads_.try_emplace(whose);
  if (first) {
    auto counters = nvml_.gpm_sample(card, sample.gpu_instance);
    if (!counters.ok()) {
      loads_.erase(load);
      return false;
    }
    Remembered& last = gpm_[whose];
    const TimeUs now = monotonic_us();
    if (last.sample != nullptr)
      load->second = if_told(nvml_.gpm_load(last.sample, *counters)).value_or(GpmLoad{});
    if (last.sample == nullptr || now - last.at_us >= kGpmSpanUs)
      last = {std::move(*counters), now};
  }
  sample.load = part_of_one(load->second.active);
  sample.multiprocessor_load = part_of_one(load->second.multiprocessors);
  sample.memory_load = part_of_one(load->second.memory_bandwidth);
  if (sample.load) sample.load_source = LoadSource::gpm;
  return true;
}

void CardSampler::take_busy_time(SliceSample& sample) {
  const auto busy_us = busy_time_ ? busy_time_(sample.slice) : std::nullopt;
  if (!busy_us) {
    busy_.erase(sample.slice);
    return;
  }
  const BusySoFar now{*busy_us, monotonic_us()};
  const auto [last, first] = busy_.try_emplace(sample.slice, now);
  if (first) return;
  const auto span = static_cast<double>(now.at_us - last->second.at_us);
  const auto busy = static_cast<double>(now.busy_us - last->second.busy_us);
  if (span > 0) {
    sample.load = std::clamp(busy / span, 0.0, 1.0);
    sample.load_source = LoadSource::busy_time;
  }
  last->second = now;
}

Status CardSampler::watch() {
  if (events_ != nullptr) return {};
  SHEAF_ASSIGN(const abi::Device card, nvml_.device(gpu_));
  SHEAF_ASSIGN(NvmlEventSet events, nvml_.event_set());
  SHEAF_TRY(nvml_.watch_xids(card, events));
  events_ = std::move(events);
  return {};
}

Result<std::optional<XidEvent>> CardSampler::wait_for_xid(unsigned timeout_ms) {
  SHEAF_TRY(watch());
  SHEAF_ASSIGN(const auto event, nvml_.wait_for_event(events_, timeout_ms));
  if (!event || event->type != abi::kEventXid) return std::optional<XidEvent>();
  XidEvent xid{.xid = static_cast<unsigned>(event->data),
               .gpu = gpu_,
               .gpu_instance = told_instance(event->gpu_instance),
               .compute_instance = told_instance(event->compute_instance),
               .at_us = monotonic_us()};
  xid.recovery_action = if_told(nvml_.recovery_action(event->device));
  return std::optional(xid);
}

}  // namespace sheaf::slices
