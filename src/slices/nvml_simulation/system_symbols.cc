#include <ctime>
#include <memory>

#include "slices/nvml_simulation/session.h"

// The library, the driver, and events.
namespace sheaf::slices::simulation {
namespace {

abi::Return start(const char* function) {
  if (const abi::Return code = Session::init(); code != abi::kSuccess) return code;
  const abi::Return fault = Session::fault_of_init(function);
  if (fault != abi::kSuccess) Session::shutdown();
  return fault;
}

// What an event set waits for, and how far it has read.
struct Watch {
  std::uint64_t types[kCardsMax] = {};
  std::uint64_t read = 0;
};
Watch* watch_of(abi::EventSet set) { return reinterpret_cast<Watch*>(set); }

bool next_event(SimState& state, Watch& watch, abi::EventData& data) {
  while (watch.read < state.event_sequence) {
    const SimEvent& event = state.events[watch.read++ % kEventsMax];
    if (event.sequence != watch.read || (watch.types[event.card] & event.type) == 0) continue;
    data = {make_handle<abi::Device>(HandleKind::card, event.card), event.type, event.data,
            event.gpu_instance, event.compute_instance};
    return true;
  }
  return false;
}

}  // namespace

// No symbol of NVML: by it sheaf tells that no card stands behind what it reads.
SHEAF_SIM_EXPORT int sheafNvmlSimulation() { return 1; }

SHEAF_SIM_EXPORT abi::Return nvmlInit_v2() { return start("nvmlInit_v2"); }
SHEAF_SIM_EXPORT abi::Return nvmlInitWithFlags(unsigned) { return start("nvmlInitWithFlags"); }
SHEAF_SIM_EXPORT abi::Return nvmlShutdown() { return Session::shutdown(); }
SHEAF_SIM_EXPORT const char* nvmlErrorString(abi::Return code) { return abi::text_of(code); }

SHEAF_SIM_EXPORT abi::Return nvmlSystemGetDriverVersion(char* text, unsigned bytes) {
  return Session::call("nvmlSystemGetDriverVersion", Right::anyone, [&](SimState& state) {
    return put_text(text, bytes, state.driver_version);
  });
}
SHEAF_SIM_EXPORT abi::Return nvmlSystemGetNVMLVersion(char* text, unsigned bytes) {
  return Session::call("nvmlSystemGetNVMLVersion", Right::anyone,
                       [&](SimState& state) { return put_text(text, bytes, state.nvml_version); });
}
SHEAF_SIM_EXPORT abi::Return nvmlSystemGetCudaDriverVersion_v2(int* version) {
  return Session::call("nvmlSystemGetCudaDriverVersion_v2", Right::anyone, [&](SimState& state) {
    *version = state.cuda_version;
    return abi::kSuccess;
  });
}
SHEAF_SIM_EXPORT abi::Return nvmlSystemGetCudaDriverVersion(int* version) {
  return nvmlSystemGetCudaDriverVersion_v2(version);
}

SHEAF_SIM_EXPORT abi::Return nvmlEventSetCreate(abi::EventSet* set) {
  return Session::call("nvmlEventSetCreate", Right::anyone, [&](SimState& state) {
    auto watch = std::make_unique<Watch>();
    watch->read = state.event_sequence;
    *set = reinterpret_cast<abi::EventSet>(watch.release());
    return abi::kSuccess;
  });
}
SHEAF_SIM_EXPORT abi::Return nvmlEventSetFree(abi::EventSet set) {
  const std::unique_ptr<Watch> owned(watch_of(set));
  return abi::kSuccess;
}
SHEAF_SIM_EXPORT abi::Return nvmlDeviceGetSupportedEventTypes(abi::Device device,
                                                              unsigned long long* types) {
  return call_on("nvmlDeviceGetSupportedEventTypes", device, [&](Target&) {
    *types = abi::kEventXid | abi::kEventMigConfig;
    return abi::kSuccess;
  });
}
SHEAF_SIM_EXPORT abi::Return nvmlDeviceRegisterEvents(abi::Device device, unsigned long long types,
                                                      abi::EventSet set) {
  return call_on("nvmlDeviceRegisterEvents", device, [&](Target& target) {
    if (target.is_mig()) return abi::kInvalidArgument;
    watch_of(set)->types[target.card_index] |= types;
    return abi::kSuccess;
  });
}
// Looks every few milliseconds: the state is a file, which wakes nobody.
SHEAF_SIM_EXPORT abi::Return nvmlEventSetWait_v2(abi::EventSet set, abi::EventData* data,
                                                 unsigned timeout_ms) {
  constexpr unsigned kStepMs = 5;
  for (unsigned waited = 0;; waited += kStepMs) {
    const abi::Return code =
        Session::call("nvmlEventSetWait_v2", Right::anyone, [&](SimState& state) {
          return next_event(state, *watch_of(set), *data) ? abi::kSuccess : abi::kTimeout;
        });
    if (code != abi::kTimeout || waited >= timeout_ms) return code;
    const timespec step{0, kStepMs * 1'000'000};
    nanosleep(&step, nullptr);
  }
}

}  // namespace sheaf::slices::simulation
