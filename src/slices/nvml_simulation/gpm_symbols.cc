#include <memory>

#include "base/clock.h"
#include "slices/nvml_simulation/session.h"

// GPM: counters of Hopper and later, of a card that is not cut or of a GPU instance.
namespace sheaf::slices::simulation {
namespace {

constexpr int kFirstCapability = 9;  // Hopper's
constexpr TimeUs kRefreshUs = 100'000;

// The load at one moment. The real ones hold counters; what they differ by is told by the later.
struct Counters {
  TimeUs taken_us = 0;  // 0: nothing was read into it
  std::uint32_t card = 0, gpu_instance = abi::kNoInstance;
  SimLoad load;
};
Counters* counters_of(abi::GpmSample sample) { return reinterpret_cast<Counters*>(sample); }

bool has_gpm(const Target& target) {
  return target.model.compute_capability_major >= kFirstCapability;
}

abi::Return metric_of(const SimLoad& load, unsigned id, double& value) {
  switch (id) {
    case abi::kGpmGraphicsUtil:
      value = load.gpu;
      return abi::kSuccess;
    case abi::kGpmSmUtil:
      value = load.multiprocessors;
      return abi::kSuccess;
    case abi::kGpmDramUtil:
      value = load.memory;
      return abi::kSuccess;
    default:
      return abi::kNotSupported;
  }
}

// NVML wants more than that between two samples; this one refuses less.
bool makes_a_span(const Counters& first, const Counters& second) {
  return first.taken_us != 0 && first.card == second.card &&
         first.gpu_instance == second.gpu_instance && second.taken_us - first.taken_us > kRefreshUs;
}

}  // namespace

SHEAF_SIM_EXPORT abi::Return nvmlGpmQueryDeviceSupport(abi::Device device,
                                                       abi::GpmSupport* support) {
  return call_on("nvmlGpmQueryDeviceSupport", device, [&](Target& target) {
    if (support->version != abi::kGpmVersion) return abi::kArgumentVersionMismatch;
    support->is_supported = has_gpm(target);
    return abi::kSuccess;
  });
}

SHEAF_SIM_EXPORT abi::Return nvmlGpmSampleAlloc(abi::GpmSample* sample) {
  return Session::call("nvmlGpmSampleAlloc", Right::anyone, [&](SimState&) {
    *sample = reinterpret_cast<abi::GpmSample>(std::make_unique<Counters>().release());
    return abi::kSuccess;
  });
}

SHEAF_SIM_EXPORT abi::Return nvmlGpmSampleFree(abi::GpmSample sample) {
  const std::unique_ptr<Counters> owned(counters_of(sample));
  return abi::kSuccess;
}

SHEAF_SIM_EXPORT abi::Return nvmlGpmSampleGet(abi::Device device, abi::GpmSample sample) {
  return call_on("nvmlGpmSampleGet", device, [&](Target& target) {
    if (!has_gpm(target) || target.card.mig_current != 0) return abi::kNotSupported;
    *counters_of(sample) = {monotonic_us(), target.card_index, abi::kNoInstance, target.card.load};
    return abi::kSuccess;
  });
}

SHEAF_SIM_EXPORT abi::Return nvmlGpmMigSampleGet(abi::Device device, unsigned gpu_instance,
                                                 abi::GpmSample sample) {
  return call_on("nvmlGpmMigSampleGet", device, [&](Target& target) {
    if (!has_gpm(target) || target.is_mig()) return abi::kNotSupported;
    if (gpu_instance >= kInstancesMax || !target.card.instances[gpu_instance].used)
      return abi::kInvalidArgument;
    *counters_of(sample) = {monotonic_us(), target.card_index, gpu_instance,
                            target.card.instances[gpu_instance].load};
    return abi::kSuccess;
  });
}

SHEAF_SIM_EXPORT abi::Return nvmlGpmMetricsGet(abi::GpmMetricsGet* asked) {
  const Counters& second = *counters_of(asked->second);
  const auto answer = [&](SimState&) {
    if (asked->version != abi::kGpmVersion) return abi::kArgumentVersionMismatch;
    if (!makes_a_span(*counters_of(asked->first), second)) return abi::kInvalidArgument;
    for (unsigned i = 0; i < asked->count; ++i) {
      abi::GpmMetric& metric = asked->metrics[i];
      metric.result = metric_of(second.load, metric.id, metric.value);
    }
    return abi::kSuccess;
  };
  return Session::call("nvmlGpmMetricsGet", Right::anyone, answer, second.card);
}

}  // namespace sheaf::slices::simulation
