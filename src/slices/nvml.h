#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/result.h"
#include "slices/nvml_abi.h"

// NVIDIA's management library, opened at run time.
namespace sheaf::slices {

// What a call of NVML answered, where it matters beyond the sentence.
struct NvmlFailure {
  std::string_view function;
  abi::Return code = abi::kSuccess;
};

// "nvmlDeviceSetMigMode: Insufficient Permissions; it needs CAP_SYS_ADMIN: run it as root": the
// function, NVML's text, and the nearest remedy. Its code is unsupported for what card or driver
// cannot do, permission_denied, not_found, invalid_argument, unavailable for what is in use or has
// no room, deadline_exceeded, io for the rest.
Error nvml_error(const NvmlFailure& failure);

// A GPU instance's size as the card itself tells it.
struct NvmlGpuProfile {
  unsigned index = 0;
  abi::GpuInstanceProfileInfo info = {};
  std::string name;  // "1g.5gb"; empty from drivers that do not tell it
};

// What NVML allocated, given back to it; to go before its Nvml does. One thread at a time.
template <class Handle>
struct NvmlRelease {
  abi::Return (*release)(Handle) = nullptr;
  void operator()(Handle handle) const { release(handle); }
};
template <class Handle>
using NvmlOwned = std::unique_ptr<std::remove_pointer_t<Handle>, NvmlRelease<Handle>>;
using NvmlEventSet = NvmlOwned<abi::EventSet>;
using NvmlGpmSample = NvmlOwned<abi::GpmSample>;

// Between two samples of GPM, in per cent; a missing one was not to be had.
struct GpmLoad {
  std::optional<double> active;  // of the time something ran
  std::optional<double> multiprocessors;
  std::optional<double> memory_bandwidth;
};

// The one owner of an open NVML session: initialized when made, shut down and closed when
// destroyed. Every call answers at once or as late as the driver lets it: a card that hangs holds
// its caller. May be used from several threads. Handles are NVML's, valid while this lives; those
// of instances die with the instance and may be given out again, so none is kept across a change.
//
// Functions that this library lacks, and structs that it does not know yet, are errors of kind
// unsupported that name the function and the driver.
class Nvml {
 public:
  // `path`: of the library; empty for $SHEAF_NVML, or libnvidia-ml.so.1 where the linker finds it.
  // Error not_found: there is no such library; unsupported: it lacks what every driver since R450
  // has; io: the driver is not loaded or does not match.
  static Result<Nvml> open(const std::string& path = "");
  Nvml(Nvml&&) noexcept;
  Nvml& operator=(Nvml&&) noexcept;
  ~Nvml();

  const std::string& driver_version() const;  // "550.90.07"
  const std::string& nvml_version() const;
  int cuda_version() const;  // of the driver: 12040 for 12.4; 0 if it does not tell
  // It is the library of the tests (nvml_simulation): there are no cards.
  bool is_simulation() const;

  Result<unsigned> device_count() const;
  Result<abi::Device> device(unsigned index) const;
  // Of a card or of a MIG device.
  Result<abi::Device> device_by_uuid(const std::string& uuid) const;

  Result<std::string> name(abi::Device device) const;
  Result<std::string> uuid(abi::Device device) const;
  Result<unsigned> minor_number(abi::Device device) const;
  Result<abi::PciInfo> pci(abi::Device device) const;
  Result<abi::Memory> memory(abi::Device device) const;  // without what the driver keeps, if it can
  struct Capability {
    int major = 0, minor = 0;
  };
  Result<Capability> compute_capability(abi::Device device) const;
  Result<unsigned> compute_mode(abi::Device device) const;
  Result<bool> persistence(abi::Device device) const;
  Result<bool> ecc_enabled(abi::Device device) const;
  Result<std::uint64_t> uncorrected_ecc_errors(abi::Device device) const;  // since the boot
  Result<bool> retired_pages_pending(abi::Device device) const;
  struct RemappedRows {
    unsigned corrected = 0, uncorrected = 0;
    bool pending = false, failed = false;
  };
  Result<RemappedRows> remapped_rows(abi::Device device) const;
  Result<unsigned> temperature_c(abi::Device device) const;
  Result<unsigned> power_mw(abi::Device device) const;
  Result<unsigned> power_limit_mw(abi::Device device) const;
  Result<abi::Utilization> utilization(abi::Device device) const;
  Result<unsigned> sm_clock_mhz(abi::Device device) const;
  Result<unsigned> memory_clock_mhz(abi::Device device) const;
  struct PcieLink {
    unsigned generation = 0, generation_max = 0, width = 0, width_max = 0;
  };
  Result<PcieLink> pcie(abi::Device device) const;
  Result<unsigned> active_nvlinks(abi::Device device) const;
  Result<std::uint64_t> throttle_reasons(abi::Device device) const;  // NVML's bits
  Result<unsigned> recovery_action(abi::Device device) const;        // field 230

  enum class ProcessKind { compute, graphics, mps };
  Result<std::vector<abi::ProcessInfo>> processes(abi::Device device, ProcessKind kind) const;

  struct MigMode {
    bool current = false, pending = false;
  };
  Result<MigMode> mig_mode(abi::Device device) const;
  // What became of it at once: success, in use, or a reset is required.
  Result<abi::Return> set_mig_mode(abi::Device device, bool enabled) const;

  // Those that the card offers, by index; drivers before R535 list none while the mode is off.
  Result<std::vector<NvmlGpuProfile>> gpu_profiles(abi::Device device) const;
  // All legal ones, taken or not.
  Result<std::vector<abi::Placement>> possible_placements(abi::Device device,
                                                          unsigned profile_id) const;
  struct LiveGpuInstance {
    abi::GpuInstance handle = nullptr;
    abi::GpuInstanceInfo info = {};
  };
  struct LiveComputeInstance {
    abi::ComputeInstance handle = nullptr;
    abi::ComputeInstanceInfo info = {};
  };
  Result<std::vector<LiveGpuInstance>> gpu_instances(abi::Device device,
                                                     const NvmlGpuProfile& profile) const;
  Result<abi::GpuInstance> gpu_instance_by_id(abi::Device device, unsigned id) const;
  Result<LiveGpuInstance> create_gpu_instance(abi::Device device, unsigned profile_id,
                                              abi::Placement placement) const;
  Status destroy_gpu_instance(abi::GpuInstance instance) const;

  Result<std::vector<abi::ComputeInstanceProfileInfo>> compute_profiles(
      abi::GpuInstance instance) const;
  Result<std::vector<LiveComputeInstance>> compute_instances(
      abi::GpuInstance instance, const abi::ComputeInstanceProfileInfo& profile) const;
  // Without a placement where the driver likes.
  Result<LiveComputeInstance> create_compute_instance(
      abi::GpuInstance instance, unsigned profile_id,
      const std::optional<abi::Placement>& placement) const;
  Status destroy_compute_instance(abi::ComputeInstance instance) const;

  // The MIG devices of a card, as anybody may list them who may use them.
  struct MigDevice {
    abi::Device handle = nullptr;
    unsigned gpu_instance = 0, compute_instance = 0;
    bool whole = true;  // it has all of its GPU instance's multiprocessors
  };
  Result<std::vector<MigDevice>> mig_devices(abi::Device card) const;

  // GPM: counters of Hopper and later.
  Result<bool> has_gpm(abi::Device card) const;
  // Of the card, or of one GPU instance of it.
  Result<NvmlGpmSample> gpm_sample(abi::Device card,
                                   std::optional<unsigned> gpu_instance = std::nullopt) const;
  // Of the same card or instance, more than 100 ms apart.
  Result<GpmLoad> gpm_load(const NvmlGpmSample& first, const NvmlGpmSample& second) const;

  Result<NvmlEventSet> event_set() const;
  Status watch_xids(abi::Device card, const NvmlEventSet& set) const;
  // The next event of a watched card; nothing if none came in time.
  Result<std::optional<abi::EventData>> wait_for_event(const NvmlEventSet& set,
                                                       unsigned timeout_ms) const;

 private:
  struct Library;
  explicit Nvml(std::unique_ptr<Library> library);
  std::unique_ptr<Library> library_;
};

}  // namespace sheaf::slices
