#include "slices/nvml.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace sheaf::slices {
namespace {

constexpr const char* kLibraryName = "libnvidia-ml.so.1";
constexpr unsigned kVersionBytes = 80;
constexpr unsigned kNvLinksMax = 18;
constexpr unsigned kInstancesMax = 64;
constexpr unsigned kProcessTries = 8;  // the list may grow between asking its size and reading it

// The right that a call lacked, as NVIDIA's guide splits them.
std::string_view capability_for(std::string_view function) {
  if (function == "nvmlDeviceSetMigMode") return "CAP_SYS_ADMIN: run it as root";
  if (function.find("Create") != std::string_view::npos ||
      function.find("Destroy") != std::string_view::npos)
    return "the mig/config capability: run it as root, through `sheaf slices daemon`, or with "
           "access to the node in /dev/nvidia-caps that "
           "/proc/driver/nvidia/capabilities/mig/config names";
  if (function.find("Instance") != std::string_view::npos)
    return "the mig/monitor capability: run it as root, or with access to the node in "
           "/dev/nvidia-caps that /proc/driver/nvidia/capabilities/mig/monitor names";
  return "rights that this user lacks: run it as root";
}

std::string remedy(const NvmlFailure& failure) {
  switch (failure.code) {
    case abi::kNoPermission:
      return fmt::format("; it needs {}", capability_for(failure.function));
    case abi::kFunctionNotFound:
    case abi::kArgumentVersionMismatch:
      return "; the driver is older than this call: update it";
    case abi::kDriverNotLoaded:
      return "; load it: modprobe nvidia";
    case abi::kVersionMismatch:
      return "; the driver was updated while loaded: reboot, or unload and load its modules";
    case abi::kGpuIsLost:
      return "; the card fell off the bus: reboot the machine";
    case abi::kResetRequired:
      return "; reset the card (nvidia-smi --gpu-reset) or reboot";
    default:
      return "";
  }
}

ErrorCode kind_of(abi::Return code) {
  switch (code) {
    case abi::kNotSupported:
    case abi::kFunctionNotFound:
    case abi::kArgumentVersionMismatch:
      return ErrorCode::unsupported;
    case abi::kNoPermission:
      return ErrorCode::permission_denied;
    case abi::kNotFound:
    case abi::kGpuIsLost:
    case abi::kLibraryNotFound:
      return ErrorCode::not_found;
    case abi::kInvalidArgument:
      return ErrorCode::invalid_argument;
    case abi::kInUse:
    case abi::kInsufficientResources:
    case abi::kResetRequired:
      return ErrorCode::unavailable;
    case abi::kTimeout:
      return ErrorCode::deadline_exceeded;
    default:
      return ErrorCode::io;
  }
}

struct LibraryClose {
  void operator()(void* library) const { dlclose(library); }
};

}  // namespace

const char* abi::text_of(abi::Return code) {
  constexpr const char* texts[] = {"Success",
                                   "Uninitialized",
                                   "Invalid Argument",
                                   "Not Supported",
                                   "Insufficient Permissions",
                                   "Already Initialized",
                                   "Not Found",
                                   "Insufficient Size",
                                   "Insufficient External Power",
                                   "Driver Not Loaded",
                                   "Timeout",
                                   "Interrupt Request Issue",
                                   "NVML Shared Library Not Found",
                                   "Function Not Found",
                                   "Corrupted infoROM",
                                   "GPU is lost",
                                   "GPU requires reset",
                                   "GPU access blocked by the operating system",
                                   "Driver/library version mismatch",
                                   "In use by another client",
                                   "Insufficient Memory",
                                   "No data",
                                   "Not allowed with ECC enabled",
                                   "Insufficient Resources",
                                   "Frequency Not Supported",
                                   "Argument version mismatch",
                                   "Deprecated",
                                   "Not Ready",
                                   "GPU Not Found",
                                   "Invalid State",
                                   "Reset Type Not Supported"};
  return code >= 0 && code < static_cast<int>(std::size(texts)) ? texts[code] : "Unknown Error";
}

Error nvml_error(const NvmlFailure& failure) {
  return {kind_of(failure.code),
          fmt::format("{}: {}{}", failure.function, abi::text_of(failure.code), remedy(failure))};
}

struct Nvml::Library {
#define SHEAF_DECLARE(symbol, parameters) abi::Return(*symbol) parameters = nullptr;
  SHEAF_NVML_FUNCTIONS(SHEAF_DECLARE)
#undef SHEAF_DECLARE

  std::unique_ptr<void, LibraryClose> file;
  bool initialized = false;
  std::string driver_version, nvml_version;
  int cuda_version = 0;

  explicit Library(void* opened) : file(opened) {
#define SHEAF_LOOK_UP(symbol, parameters) \
  symbol = reinterpret_cast<decltype(symbol)>(dlsym(opened, #symbol));
    SHEAF_NVML_FUNCTIONS(SHEAF_LOOK_UP)
#undef SHEAF_LOOK_UP
  }
  ~Library() {
    if (initialized) nvmlShutdown();
  }
};

namespace {

// A call of a function that may be missing.
template <class... Parameters, class... Arguments>
abi::Return raw_call(abi::Return (*function)(Parameters...), Arguments... arguments) {
  return function == nullptr ? abi::kFunctionNotFound : function(arguments...);
}

Status checked(std::string_view function, abi::Return code) {
  if (code == abi::kSuccess) return {};
  return nvml_error({function, code});
}

}  // namespace

// SHEAF_NVML_CALL(name, arguments...): leaves with the error if NVML refused.
#define SHEAF_NVML_CALL(symbol, ...) \
  SHEAF_TRY(checked(#symbol, raw_call(library_->symbol __VA_OPT__(, ) __VA_ARGS__)))

Nvml::Nvml(std::unique_ptr<Library> library) : library_(std::move(library)) {}
Nvml::Nvml(Nvml&&) noexcept = default;
Nvml& Nvml::operator=(Nvml&&) noexcept = default;
Nvml::~Nvml() = default;

Result<Nvml> Nvml::open(const std::string& path) {
  const char* variable = std::getenv("SHEAF_NVML");
  const std::string file =
      !path.empty() ? path : (variable != nullptr && *variable != 0 ? variable : kLibraryName);
  void* opened = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (opened == nullptr)
    return Error{
        ErrorCode::not_found,
        fmt::format("NVML cannot be opened ({}); it comes with NVIDIA's driver", dlerror())};
  auto library = std::make_unique<Library>(opened);
  if (library->nvmlInit_v2 == nullptr || library->nvmlShutdown == nullptr)
    return Error{
        ErrorCode::unsupported,
        fmt::format("{} is no NVML that sheaf knows: it lacks nvmlInit_v2 or nvmlShutdown", file)};
  SHEAF_TRY(checked("nvmlInit_v2", library->nvmlInit_v2()));
  library->initialized = true;
  // Without these two nothing fails: they are shown, and asked of by the doctor.
  char text[kVersionBytes] = "";
  if (raw_call(library->nvmlSystemGetDriverVersion, text, kVersionBytes) == abi::kSuccess)
    library->driver_version.assign(text, strnlen(text, kVersionBytes));
  if (raw_call(library->nvmlSystemGetNVMLVersion, text, kVersionBytes) == abi::kSuccess)
    library->nvml_version.assign(text, strnlen(text, kVersionBytes));
  if (raw_call(library->nvmlSystemGetCudaDriverVersion_v2, &library->cuda_version) != abi::kSuccess)
    library->cuda_version = 0;
  return Nvml(std::move(library));
}

const std::string& Nvml::driver_version() const { return library_->driver_version; }
const std::string& Nvml::nvml_version() const { return library_->nvml_version; }
int Nvml::cuda_version() const { return library_->cuda_version; }
bool Nvml::is_simulation() const {
  return dlsym(library_->file.get(), "sheafNvmlSimulation") != nullptr;
}

Result<unsigned> Nvml::device_count() const {
  unsigned count = 0;
  SHEAF_NVML_CALL(nvmlDeviceGetCount_v2, &count);
  return count;
}

Result<abi::Device> Nvml::device(unsigned index) const {
  abi::Device device = nullptr;
  SHEAF_NVML_CALL(nvmlDeviceGetHandleByIndex_v2, index, &device);
  return device;
}

Result<abi::Device> Nvml::device_by_uuid(const std::string& uuid) const {
  abi::Device device = nullptr;
  SHEAF_NVML_CALL(nvmlDeviceGetHandleByUUID, uuid.c_str(), &device);
  return device;
}

Result<std::string> Nvml::name(abi::Device device) const {
  char text[abi::kNameBytes] = "";
  SHEAF_NVML_CALL(nvmlDeviceGetName, device, text, abi::kNameBytes);
  return std::string(text, strnlen(text, abi::kNameBytes));
}

Result<std::string> Nvml::uuid(abi::Device device) const {
  char text[abi::kUuidBytes] = "";
  SHEAF_NVML_CALL(nvmlDeviceGetUUID, device, text, abi::kUuidBytes);
  return std::string(text, strnlen(text, abi::kUuidBytes));
}

Result<unsigned> Nvml::minor_number(abi::Device device) const {
  unsigned number = 0;
  SHEAF_NVML_CALL(nvmlDeviceGetMinorNumber, device, &number);
  return number;
}

Result<abi::PciInfo> Nvml::pci(abi::Device device) const {
  abi::PciInfo info = {};
  SHEAF_NVML_CALL(nvmlDeviceGetPciInfo_v3, device, &info);
  return info;
}

// Older structs count what the driver keeps among what is used.
Result<abi::Memory> Nvml::memory(abi::Device device) const {
  abi::Memory_v2 newer = {};
  newer.version = abi::version_of<abi::Memory_v2>(2);
  if (raw_call(library_->nvmlDeviceGetMemoryInfo_v2, device, &newer) == abi::kSuccess)
    return abi::Memory{newer.total, newer.free, newer.used};
  abi::Memory memory = {};
  SHEAF_NVML_CALL(nvmlDeviceGetMemoryInfo, device, &memory);
  return memory;
}

Result<Nvml::Capability> Nvml::compute_capability(abi::Device device) const {
  Capability capability;
  SHEAF_NVML_CALL(nvmlDeviceGetCudaComputeCapability, device, &capability.major, &capability.minor);
  return capability;
}

Result<unsigned> Nvml::compute_mode(abi::Device device) const {
  unsigned mode = 0;
  SHEAF_NVML_CALL(nvmlDeviceGetComputeMode, device, &mode);
  return mode;
}

Result<bool> Nvml::persistence(abi::Device device) const {
  unsigned on = 0;
  SHEAF_NVML_CALL(nvmlDeviceGetPersistenceMode, device, &on);
  return on != 0;
}

Result<bool> Nvml::ecc_enabled(abi::Device device) const {
  unsigned current = 0, pending = 0;
  SHEAF_NVML_CALL(nvmlDeviceGetEccMode, device, &current, &pending);
  return current != 0;
}

Result<std::uint64_t> Nvml::uncorrected_ecc_errors(abi::Device device) const {
  constexpr unsigned kUncorrected = 1, kVolatile = 0;
  unsigned long long count = 0;
  SHEAF_NVML_CALL(nvmlDeviceGetTotalEccErrors, device, kUncorrected, kVolatile, &count);
  return std::uint64_t{count};
}

Result<bool> Nvml::retired_pages_pending(abi::Device device) const {
  unsigned pending = 0;
  SHEAF_NVML_CALL(nvmlDeviceGetRetiredPagesPendingStatus, device, &pending);
  return pending != 0;
}

Result<Nvml::RemappedRows> Nvml::remapped_rows(abi::Device device) const {
  RemappedRows rows;
  unsigned pending = 0, failed = 0;
  SHEAF_NVML_CALL(nvmlDeviceGetRemappedRows, device, &rows.corrected, &rows.uncorrected, &pending,
                  &failed);
  rows.pending = pending != 0;
  rows.failed = failed != 0;
  return rows;
}

Result<unsigned> Nvml::temperature_c(abi::Device device) const {
  constexpr unsigned kOfTheChip = 0;
  unsigned degrees = 0;
  SHEAF_NVML_CALL(nvmlDeviceGetTemperature, device, kOfTheChip, &degrees);
  return degrees;
}

Result<unsigned> Nvml::power_mw(abi::Device device) const {
  unsigned milliwatts = 0;
  SHEAF_NVML_CALL(nvmlDeviceGetPowerUsage, device, &milliwatts);
  return milliwatts;
}

Result<unsigned> Nvml::power_limit_mw(abi::Device device) const {
  unsigned milliwatts = 0;
  SHEAF_NVML_CALL(nvmlDeviceGetEnforcedPowerLimit, device, &milliwatts);
  return milliwatts;
}

Result<abi::Utilization> Nvml::utilization(abi::Device device) const {
  abi::Utilization utilization = {};
  SHEAF_NVML_CALL(nvmlDeviceGetUtilizationRates, device, &utilization);
  return utilization;
}

Result<unsigned> Nvml::sm_clock_mhz(abi::Device device) const {
  unsigned megahertz = 0;
  SHEAF_NVML_CALL(nvmlDeviceGetClockInfo, device, abi::kClockSm, &megahertz);
  return megahertz;
}

Result<unsigned> Nvml::memory_clock_mhz(abi::Device device) const {
  unsigned megahertz = 0;
  SHEAF_NVML_CALL(nvmlDeviceGetClockInfo, device, abi::kClockMemory, &megahertz);
  return megahertz;
}

Result<Nvml::PcieLink> Nvml::pcie(abi::Device device) const {
  PcieLink link;
  SHEAF_NVML_CALL(nvmlDeviceGetCurrPcieLinkGeneration, device, &link.generation);
  SHEAF_NVML_CALL(nvmlDeviceGetMaxPcieLinkGeneration, device, &link.generation_max);
  SHEAF_NVML_CALL(nvmlDeviceGetCurrPcieLinkWidth, device, &link.width);
  SHEAF_NVML_CALL(nvmlDeviceGetMaxPcieLinkWidth, device, &link.width_max);
  return link;
}

Result<unsigned> Nvml::active_nvlinks(abi::Device device) const {
  unsigned active = 0;
  for (unsigned link = 0; link < kNvLinksMax; ++link) {
    unsigned on = 0;
    const abi::Return code = raw_call(library_->nvmlDeviceGetNvLinkState, device, link, &on);
    // The first number past the card's last link, or a card without any.
    if (code == abi::kInvalidArgument || code == abi::kNotSupported) break;
    SHEAF_TRY(checked("nvmlDeviceGetNvLinkState", code));
    if (on != 0) ++active;
  }
  return active;
}

Result<std::uint64_t> Nvml::throttle_reasons(abi::Device device) const {
  unsigned long long reasons = 0;
  SHEAF_NVML_CALL(nvmlDeviceGetCurrentClocksThrottleReasons, device, &reasons);
  return std::uint64_t{reasons};
}

Result<unsigned> Nvml::recovery_action(abi::Device device) const {
  abi::FieldValue field = {};
  field.field = abi::kFieldRecoveryAction;
  SHEAF_NVML_CALL(nvmlDeviceGetFieldValues, device, 1, &field);
  SHEAF_TRY(checked("nvmlDeviceGetFieldValues", field.result));
  return field.value.unsigned_int;
}

Result<std::vector<abi::ProcessInfo>> Nvml::processes(abi::Device device, ProcessKind kind) const {
  const auto ask = [&](unsigned* count, abi::ProcessInfo* list) {
    switch (kind) {
      case ProcessKind::compute:
        return raw_call(library_->nvmlDeviceGetComputeRunningProcesses_v3, device, count, list);
      case ProcessKind::graphics:
        return raw_call(library_->nvmlDeviceGetGraphicsRunningProcesses_v3, device, count, list);
      case ProcessKind::mps:
        return raw_call(library_->nvmlDeviceGetMPSComputeRunningProcesses_v3, device, count, list);
    }
    return abi::kInvalidArgument;
  };
  std::vector<abi::ProcessInfo> list;
  for (unsigned tries = 0; tries < kProcessTries; ++tries) {
    auto count = static_cast<unsigned>(list.size());
    const abi::Return code = ask(&count, list.empty() ? nullptr : list.data());
    if (code == abi::kInsufficientSize) {
      list.resize(count + 8);
      continue;
    }
    SHEAF_TRY(checked("nvmlDeviceGetRunningProcesses", code));
    list.resize(std::min<std::size_t>(count, list.size()));
    return list;
  }
  return Error{ErrorCode::unavailable,
               fmt::format("the list of processes grew {} times while it was read", kProcessTries)};
}

Result<Nvml::MigMode> Nvml::mig_mode(abi::Device device) const {
  unsigned current = 0, pending = 0;
  SHEAF_NVML_CALL(nvmlDeviceGetMigMode, device, &current, &pending);
  return MigMode{current != 0, pending != 0};
}

Result<abi::Return> Nvml::set_mig_mode(abi::Device device, bool enabled) const {
  abi::Return activation = abi::kSuccess;
  SHEAF_NVML_CALL(nvmlDeviceSetMigMode, device, enabled ? 1u : 0u, &activation);
  return activation;
}

Result<std::vector<NvmlGpuProfile>> Nvml::gpu_profiles(abi::Device device) const {
  std::vector<NvmlGpuProfile> profiles;
  for (unsigned index = 0; index < abi::kGpuProfileIndexes; ++index) {
    NvmlGpuProfile profile{.index = index};
    const abi::Return code =
        raw_call(library_->nvmlDeviceGetGpuInstanceProfileInfo, device, index, &profile.info);
    // This index is not on this card, or past the end of what this driver knows.
    if (code == abi::kNotSupported || code == abi::kInvalidArgument) continue;
    SHEAF_TRY(checked("nvmlDeviceGetGpuInstanceProfileInfo", code));
    abi::GpuInstanceProfileInfo_v2 named = {};
    named.version = abi::version_of<abi::GpuInstanceProfileInfo_v2>(2);
    if (raw_call(library_->nvmlDeviceGetGpuInstanceProfileInfoV, device, index, &named) ==
        abi::kSuccess) {
      profile.name.assign(named.name, strnlen(named.name, abi::kNameBytes));
      if (profile.name.starts_with("MIG ")) profile.name.erase(0, 4);
    }
    profiles.push_back(std::move(profile));
  }
  return profiles;
}

Result<std::vector<abi::Placement>> Nvml::possible_placements(abi::Device device,
                                                              unsigned profile_id) const {
  unsigned count = 0;
  SHEAF_NVML_CALL(nvmlDeviceGetGpuInstancePossiblePlacements_v2, device, profile_id, nullptr,
                  &count);
  std::vector<abi::Placement> placements(count);
  if (count == 0) return placements;
  SHEAF_NVML_CALL(nvmlDeviceGetGpuInstancePossiblePlacements_v2, device, profile_id,
                  placements.data(), &count);
  placements.resize(std::min<std::size_t>(count, placements.size()));
  return placements;
}

Result<std::vector<Nvml::LiveGpuInstance>> Nvml::gpu_instances(
    abi::Device device, const NvmlGpuProfile& profile) const {
  // NVML writes without asking for the size; no card holds as many instances as this.
  std::array<abi::GpuInstance, kInstancesMax> handles = {};
  unsigned count = 0;
  SHEAF_NVML_CALL(nvmlDeviceGetGpuInstances, device, profile.info.id, handles.data(), &count);
  std::vector<LiveGpuInstance> instances;
  for (unsigned i = 0; i < std::min(count, kInstancesMax); ++i) {
    LiveGpuInstance live{.handle = handles[i]};
    SHEAF_NVML_CALL(nvmlGpuInstanceGetInfo, live.handle, &live.info);
    instances.push_back(live);
  }
  return instances;
}

Result<abi::GpuInstance> Nvml::gpu_instance_by_id(abi::Device device, unsigned id) const {
  abi::GpuInstance handle = nullptr;
  SHEAF_NVML_CALL(nvmlDeviceGetGpuInstanceById, device, id, &handle);
  return handle;
}

Result<Nvml::LiveGpuInstance> Nvml::create_gpu_instance(abi::Device device, unsigned profile_id,
                                                        abi::Placement placement) const {
  LiveGpuInstance live;
  SHEAF_NVML_CALL(nvmlDeviceCreateGpuInstanceWithPlacement, device, profile_id, &placement,
                  &live.handle);
  SHEAF_NVML_CALL(nvmlGpuInstanceGetInfo, live.handle, &live.info);
  return live;
}

Status Nvml::destroy_gpu_instance(abi::GpuInstance instance) const {
  SHEAF_NVML_CALL(nvmlGpuInstanceDestroy, instance);
  return {};
}

Result<std::vector<abi::ComputeInstanceProfileInfo>> Nvml::compute_profiles(
    abi::GpuInstance instance) const {
  constexpr unsigned kSharedEngines = 0;
  std::vector<abi::ComputeInstanceProfileInfo> profiles;
  for (unsigned index = 0; index < abi::kComputeProfileIndexes; ++index) {
    abi::ComputeInstanceProfileInfo info = {};
    const abi::Return code = raw_call(library_->nvmlGpuInstanceGetComputeInstanceProfileInfo,
                                      instance, index, kSharedEngines, &info);
    if (code == abi::kNotSupported || code == abi::kInvalidArgument) continue;
    SHEAF_TRY(checked("nvmlGpuInstanceGetComputeInstanceProfileInfo", code));
    profiles.push_back(info);
  }
  return profiles;
}

Result<std::vector<Nvml::LiveComputeInstance>> Nvml::compute_instances(
    abi::GpuInstance instance, const abi::ComputeInstanceProfileInfo& profile) const {
  std::array<abi::ComputeInstance, kInstancesMax> handles = {};
  unsigned count = 0;
  SHEAF_NVML_CALL(nvmlGpuInstanceGetComputeInstances, instance, profile.id, handles.data(), &count);
  std::vector<LiveComputeInstance> instances;
  for (unsigned i = 0; i < std::min(count, kInstancesMax); ++i) {
    LiveComputeInstance live{.handle = handles[i]};
    SHEAF_NVML_CALL(nvmlComputeInstanceGetInfo_v2, live.handle, &live.info);
    instances.push_back(live);
  }
  return instances;
}

Result<Nvml::LiveComputeInstance> Nvml::create_compute_instance(
    abi::GpuInstance instance, unsigned profile_id,
    const std::optional<abi::Placement>& placement) const {
  LiveComputeInstance live;
  if (placement) {
    SHEAF_NVML_CALL(nvmlGpuInstanceCreateComputeInstanceWithPlacement, instance, profile_id,
                    &*placement, &live.handle);
  } else {
    SHEAF_NVML_CALL(nvmlGpuInstanceCreateComputeInstance, instance, profile_id, &live.handle);
  }
  SHEAF_NVML_CALL(nvmlComputeInstanceGetInfo_v2, live.handle, &live.info);
  return live;
}

Status Nvml::destroy_compute_instance(abi::ComputeInstance instance) const {
  SHEAF_NVML_CALL(nvmlComputeInstanceDestroy, instance);
  return {};
}

Result<std::vector<Nvml::MigDevice>> Nvml::mig_devices(abi::Device card) const {
  unsigned most = 0;
  SHEAF_NVML_CALL(nvmlDeviceGetMaxMigDeviceCount, card, &most);
  std::vector<MigDevice> devices;
  for (unsigned index = 0; index < std::min(most, kInstancesMax); ++index) {
    MigDevice one;
    const abi::Return code =
        raw_call(library_->nvmlDeviceGetMigDeviceHandleByIndex, card, index, &one.handle);
    if (code == abi::kNotFound) continue;  // a hole
    SHEAF_TRY(checked("nvmlDeviceGetMigDeviceHandleByIndex", code));
    SHEAF_NVML_CALL(nvmlDeviceGetGpuInstanceId, one.handle, &one.gpu_instance);
    SHEAF_NVML_CALL(nvmlDeviceGetComputeInstanceId, one.handle, &one.compute_instance);
    abi::DeviceAttributes attributes = {};
    if (raw_call(library_->nvmlDeviceGetAttributes_v2, one.handle, &attributes) == abi::kSuccess)
      one.whole = attributes.compute_instance_slice_count == attributes.gpu_instance_slice_count;
    devices.push_back(one);
  }
  return devices;
}

Result<bool> Nvml::has_gpm(abi::Device card) const {
  abi::GpmSupport support = {.version = abi::kGpmVersion};
  SHEAF_NVML_CALL(nvmlGpmQueryDeviceSupport, card, &support);
  return support.is_supported != 0;
}

Result<NvmlGpmSample> Nvml::gpm_sample(abi::Device card,
                                       std::optional<unsigned> gpu_instance) const {
  abi::GpmSample raw = nullptr;
  if (library_->nvmlGpmSampleFree == nullptr)
    return nvml_error({"nvmlGpmSampleFree", abi::kFunctionNotFound});
  SHEAF_NVML_CALL(nvmlGpmSampleAlloc, &raw);
  NvmlGpmSample sample(raw, {library_->nvmlGpmSampleFree});
  if (gpu_instance) {
    SHEAF_NVML_CALL(nvmlGpmMigSampleGet, card, *gpu_instance, raw);
  } else {
    SHEAF_NVML_CALL(nvmlGpmSampleGet, card, raw);
  }
  return sample;
}

Result<GpmLoad> Nvml::gpm_load(const NvmlGpmSample& first, const NvmlGpmSample& second) const {
  abi::GpmMetricsGet asked = {
      .version = abi::kGpmVersion,
      .count = 3,
      .first = first.get(),
      .second = second.get(),
      .metrics = {
          {.id = abi::kGpmGraphicsUtil}, {.id = abi::kGpmSmUtil}, {.id = abi::kGpmDramUtil}}};
  SHEAF_NVML_CALL(nvmlGpmMetricsGet, &asked);
  const auto value_of = [&asked](unsigned index) {
    const abi::GpmMetric& metric = asked.metrics[index];
    const bool known = metric.result == abi::kSuccess && std::isfinite(metric.value);
    return known ? std::optional(metric.value) : std::nullopt;
  };
  return GpmLoad{value_of(0), value_of(1), value_of(2)};
}

Result<NvmlEventSet> Nvml::event_set() const {
  abi::EventSet raw = nullptr;
  if (library_->nvmlEventSetFree == nullptr)
    return nvml_error({"nvmlEventSetFree", abi::kFunctionNotFound});
  SHEAF_NVML_CALL(nvmlEventSetCreate, &raw);
  return NvmlEventSet(raw, {library_->nvmlEventSetFree});
}

Status Nvml::watch_xids(abi::Device card, const NvmlEventSet& set) const {
  SHEAF_NVML_CALL(nvmlDeviceRegisterEvents, card, abi::kEventXid, set.get());
  return {};
}

Result<std::optional<abi::EventData>> Nvml::wait_for_event(const NvmlEventSet& set,
                                                           unsigned timeout_ms) const {
  abi::EventData event = {};
  const abi::Return code = raw_call(library_->nvmlEventSetWait_v2, set.get(), &event, timeout_ms);
  if (code == abi::kTimeout) return std::optional<abi::EventData>();
  SHEAF_TRY(checked("nvmlEventSetWait_v2", code));
  return std::optional(event);
}

}  // namespace sheaf::slices
