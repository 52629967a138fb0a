#pragma once

#include <pthread.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/mapping.h"
#include "base/result.h"
#include "slices/mig_table.h"

// The simulated machine's cards: one file, mapped by every process that opened the simulated NVML
// and by the test that drives it. Plain data of fixed size, guarded by one mutex that survives the
// death of its owner.
namespace sheaf::slices::simulation {

constexpr int kCardsMax = 16;
constexpr int kInstancesMax = 15;  // GPU instance ids 0-14
constexpr int kComputeMax = 8;     // compute instances in a GPU instance
constexpr int kProcessesMax = 32;
constexpr int kFaultsMax = 16;
constexpr int kEventsMax = 64;
constexpr std::uint32_t kAnyCard = 0xFFFFFFFF;

// In per cent. Of GPU instances GPM alone tells it.
struct SimLoad {
  std::uint32_t gpu = 0, multiprocessors = 0, memory = 0;
};

struct SimComputeInstance {
  bool used = false;
  std::uint32_t profile_id = 0;
  std::uint32_t start = 0, size = 0;  // compute slices
};

struct SimGpuInstance {
  bool used = false;
  std::uint32_t profile_id = 0;
  std::uint32_t start = 0, size = 0;  // memory slices
  SimLoad load;
  SimComputeInstance compute[kComputeMax];
};

enum class SimProcessKind : std::uint32_t { compute, graphics, mps };

struct SimProcess {
  bool used = false;
  SimProcessKind kind = SimProcessKind::compute;
  std::uint32_t pid = 0;
  std::uint32_t gpu_instance = 0xFFFFFFFF, compute_instance = 0xFFFFFFFF;
  std::uint64_t bytes = 0;
};

struct SimCard {
  char key[32] = "";  // of card_models()
  char uuid[64] = "";
  std::uint32_t mig_current = 0, mig_pending = 0;
  bool lost = false;           // every call about it answers GPU_IS_LOST
  bool reset_blocked = false;  // a change of mode stays pending: RESET_REQUIRED
  std::uint32_t persistence = 1, compute_mode = 0;
  std::uint32_t temperature_c = 34, power_mw = 62000, power_limit_mw = 400000;
  std::uint32_t sm_clock_mhz = 1410, memory_clock_mhz = 1593;
  SimLoad load;
  std::uint32_t pcie_generation = 4, pcie_generation_max = 4, pcie_width = 16, pcie_width_max = 16;
  std::uint32_t nvlinks = 0;
  std::uint32_t ecc_enabled = 1, retired_pending = 0, remap_pending = 0, remap_failed = 0;
  std::uint64_t ecc_uncorrected = 0, throttle_reasons = 0;
  std::uint32_t recovery_action = 0;
  SimGpuInstance instances[kInstancesMax];  // by id
  SimProcess processes[kProcessesMax];
};

// What a call of NVML does instead of its work, or after it.
enum class SimFaultKind : std::uint32_t {
  answer,       // return `code`, nothing done
  hang,         // sleep `milliseconds`, then do it
  kill_before,  // the calling process dies of SIGKILL before anything is done
  kill_after,   // … when all is done, before it answers
};

struct SimFault {
  bool used = false;
  SimFaultKind kind = SimFaultKind::answer;
  char function[64] = "";  // empty: any function
  std::uint32_t card = kAnyCard;
  std::int32_t code = 999;  // of `answer`
  std::uint32_t milliseconds = 0;
  std::uint32_t skip = 0;   // so many calls first
  std::uint32_t times = 1;  // then so many
};

struct SimEvent {
  std::uint64_t sequence = 0;  // 0: none
  std::uint32_t card = 0;
  std::uint64_t type = 0, data = 0;
  std::uint32_t gpu_instance = 0xFFFFFFFF, compute_instance = 0xFFFFFFFF;
};

struct SimState {
  std::uint64_t magic = 0;
  pthread_mutex_t mutex;
  char driver_version[32] = "570.133.20";
  char nvml_version[32] = "12.570.133.20";
  std::int32_t cuda_version = 12080;
  bool unprivileged = false;            // privileged calls answer NO_PERMISSION
  std::uint32_t struct_version = 3;     // newest that it takes; 1: only unversioned ones
  bool lists_profiles_when_off = true;  // drivers before R535 do not
  std::uint64_t calls = 0;              // so far, over all processes
  std::uint64_t event_sequence = 0;
  std::uint32_t card_count = 0;
  SimCard cards[kCardsMax];
  SimFault faults[kFaultsMax];
  SimEvent events[kEventsMax];  // a ring
};

// The mapped file. Movable; the mapping is shared, so that copies of it in other processes are the
// same state.
class StateFile {
 public:
  // A new machine with these cards (keys of card_models()), nothing cut.
  static Result<StateFile> create(const std::string& path, const std::vector<std::string>& cards);
  static Result<StateFile> open(const std::string& path);

  // Holds the mutex while it lives.
  class Locked {
   public:
    explicit Locked(SimState& state);
    ~Locked();
    Locked(const Locked&) = delete;
    Locked& operator=(const Locked&) = delete;
    SimState* operator->() { return &state_; }
    SimState& operator*() { return state_; }

   private:
    SimState& state_;
  };
  Locked lock() { return Locked(*state_); }

  // For who drives it. A fault takes the first free place; the oldest events are overwritten.
  void add_fault(const SimFault& fault);
  void clear_faults();
  void add_event(const SimEvent& event);

 private:
  explicit StateFile(Mapping mapping);
  Mapping mapping_;
  SimState* state_;
};

const CardModel& model_of(const SimCard& card);

// "MIG-…" of a compute instance: the same place on the same card has the same one again.
std::string mig_uuid(const SimCard& card, std::uint32_t gpu_instance,
                     std::uint32_t compute_instance);

}  // namespace sheaf::slices::simulation
