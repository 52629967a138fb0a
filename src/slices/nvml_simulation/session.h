#pragma once

#include <cstdint>
#include <string_view>
#include <utility>

#include "slices/nvml_abi.h"
#include "slices/nvml_simulation/state.h"

// What is common to all exported functions: the open state, faults, rights, and handles.
namespace sheaf::slices::simulation {

// Exported under NVML's name. The version script hides all else.
#define SHEAF_SIM_EXPORT extern "C" __attribute__((visibility("default")))

enum class Right { anyone, privileged };

// The machine of this process; opened by the first nvmlInit from $SHEAF_NVML_SIM_STATE. Calls of
// several threads take turns at the state's mutex.
class Session {
 public:
  static abi::Return init();
  static abi::Return shutdown();

  // Runs `work(SimState&)` with the mutex held, unless a fault of this function (of this card, if
  // it is about one), a missing init or a missing right comes first. nvmlInit itself passes through
  // `init()` and takes faults too.
  template <class Work>
  static abi::Return call(std::string_view function, Right right, Work&& work,
                          std::uint32_t card = kAnyCard) {
    Fault fault;
    if (const abi::Return code = before({function, card}, fault); code != abi::kSuccess)
      return code;
    abi::Return result = abi::kSuccess;
    {
      StateFile::Locked state = file().lock();
      result =
          right == Right::privileged && state->unprivileged ? abi::kNoPermission : work(*state);
    }
    after(fault);
    return result;
  }

  // A fault of nvmlInit, which may come before any session.
  static abi::Return fault_of_init(std::string_view function);

 private:
  struct Fault {
    bool kill_after = false;
  };
  struct Asked {
    std::string_view function;
    std::uint32_t card = kAnyCard;
  };
  static SimFault take_fault(SimState& state, const Asked& asked);
  static abi::Return before(const Asked& asked, Fault& fault);
  static abi::Return answer_of(const Asked& asked, Fault& fault);
  static void after(const Fault& fault);
  static StateFile& file();
};

// What a handle stands for. Handles are numbers: a kind, a card and ids, so that one is the same in
// every process and, as NVML's, may come to mean another instance.
enum class HandleKind : std::uintptr_t {
  card = 1,
  mig = 2,
  gpu_instance = 3,
  compute_instance = 4
};

template <class Handle>
Handle make_handle(HandleKind kind, std::uint32_t card, std::uint32_t gpu_instance = 0,
                   std::uint32_t compute_instance = 0) {
  return reinterpret_cast<Handle>(static_cast<std::uintptr_t>(kind) << 24 |
                                  std::uintptr_t{card} << 16 | std::uintptr_t{gpu_instance} << 8 |
                                  std::uintptr_t{compute_instance});
}

inline std::uint32_t card_of(const void* handle) {
  return static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(handle) >> 16 & 0xFF);
}

// A live thing behind a handle.
struct Target {
  SimState& state;
  SimCard& card;
  const CardModel& model;
  HandleKind kind;
  std::uint32_t card_index, gpu_instance, compute_instance;

  bool is_mig() const { return kind == HandleKind::mig; }
  SimGpuInstance& gi() { return card.instances[gpu_instance]; }
  SimComputeInstance& ci() { return gi().compute[compute_instance]; }
  const MigProfile& profile() { return *find_profile_by_id(model, gi().profile_id); }
};

// Runs `work(Target&)`; INVALID_ARGUMENT for a handle of nothing that lives, GPU_IS_LOST for one of
// a lost card.
template <class Work>
abi::Return with_target(SimState& state, const void* handle, Work&& work) {
  const auto bits = reinterpret_cast<std::uintptr_t>(handle);
  const auto kind = static_cast<HandleKind>(bits >> 24);
  const std::uint32_t card = card_of(handle);
  const auto gpu_instance = static_cast<std::uint32_t>(bits >> 8 & 0xFF);
  const auto compute_instance = static_cast<std::uint32_t>(bits & 0xFF);
  if (kind < HandleKind::card || kind > HandleKind::compute_instance || card >= state.card_count ||
      gpu_instance >= kInstancesMax || compute_instance >= kComputeMax)
    return abi::kInvalidArgument;
  SimCard& found = state.cards[card];
  if (found.lost) return abi::kGpuIsLost;
  const SimGpuInstance& instance = found.instances[gpu_instance];
  if (kind != HandleKind::card && !instance.used) return abi::kInvalidArgument;
  if ((kind == HandleKind::mig || kind == HandleKind::compute_instance) &&
      !instance.compute[compute_instance].used)
    return abi::kInvalidArgument;
  Target target{state, found, model_of(found), kind, card, gpu_instance, compute_instance};
  return work(target);
}

// The usual call: of one handle, open to all.
template <class Work>
abi::Return call_on(std::string_view function, const void* handle, Work&& work,
                    Right right = Right::anyone) {
  return Session::call(
      function, right,
      [&](SimState& state) { return with_target(state, handle, std::forward<Work>(work)); },
      card_of(handle));
}

// INSUFFICIENT_SIZE where it does not fit.
abi::Return put_text(char* to, unsigned bytes, std::string_view text);

}  // namespace sheaf::slices::simulation
