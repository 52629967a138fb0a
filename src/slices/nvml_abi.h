#pragma once

#include <cstddef>

// NVML's C interface, as far as sheaf uses it, declared anew: building needs no CUDA toolkit, and
// the library is opened at run time. tests/e2e/test_slices.py holds it against NVIDIA's header.
// Names of functions are those of the symbols: the header's plain names are macros.
namespace sheaf::slices::abi {

using Return = int;
constexpr Return kSuccess = 0;
constexpr Return kUninitialized = 1;
constexpr Return kInvalidArgument = 2;
constexpr Return kNotSupported = 3;
constexpr Return kNoPermission = 4;
constexpr Return kNotFound = 6;
constexpr Return kInsufficientSize = 7;
constexpr Return kDriverNotLoaded = 9;
constexpr Return kTimeout = 10;
constexpr Return kLibraryNotFound = 12;
constexpr Return kFunctionNotFound = 13;
constexpr Return kGpuIsLost = 15;
constexpr Return kResetRequired = 16;
constexpr Return kVersionMismatch = 18;  // of library and driver
constexpr Return kInUse = 19;
constexpr Return kInsufficientResources = 23;
constexpr Return kArgumentVersionMismatch = 25;
constexpr Return kUnknown = 999;

// What its nvmlErrorString would say; for errors that happen before there is a library.
const char* text_of(Return code);

// Opaque to us. MIG devices are Devices too.
using Device = struct DeviceTag*;
using GpuInstance = struct GpuInstanceTag*;
using ComputeInstance = struct ComputeInstanceTag*;
using EventSet = struct EventSetTag*;
using GpmSample = struct GpmSampleTag*;

constexpr unsigned kGpuProfileIndexes = 0x12;
constexpr unsigned kComputeProfileIndexes = 9;
constexpr unsigned kNoInstance = 0xFFFFFFFF;  // of processes and events of the whole card
constexpr unsigned kUuidBytes = 96;
constexpr unsigned kNameBytes = 96;
constexpr unsigned kFieldResetlessMig = 184;
constexpr unsigned kFieldRecoveryAction = 230;
constexpr unsigned long long kEventXid = 0x8;
constexpr unsigned long long kEventMigConfig = 0x100;
constexpr unsigned kClockSm = 1, kClockMemory = 2;
// GPM's structs carry a bare number, and one has an array that grows without another one: only what
// is asked for is filled. This is as long as the first header's.
constexpr unsigned kGpmVersion = 1;
constexpr unsigned kGpmMetricsMax = 98;
constexpr unsigned kGpmGraphicsUtil = 1, kGpmSmUtil = 2, kGpmDramUtil = 10;  // per cent

// The first word of structs that may grow.
template <class T>
constexpr unsigned version_of(unsigned version) {
  return static_cast<unsigned>(sizeof(T)) | version << 24;
}

struct Memory {
  unsigned long long total, free, used;  // bytes
};
struct Memory_v2 {
  unsigned version;
  unsigned long long total, reserved, free, used;
};
struct PciInfo {
  char bus_id_legacy[16];
  unsigned domain, bus, device, pci_device_id, pci_subsystem_id;
  char bus_id[32];
};
struct Utilization {
  unsigned gpu, memory;  // per cent
};
struct ProcessInfo {
  unsigned pid;
  unsigned long long used_memory;
  unsigned gpu_instance, compute_instance;
};
struct Placement {
  unsigned start, size;
};
struct GpuInstanceProfileInfo {
  unsigned id, is_p2p_supported, slice_count, instance_count, multiprocessor_count,
      copy_engine_count, decoder_count, encoder_count, jpeg_count, ofa_count;
  unsigned long long memory_mib;
};
struct GpuInstanceProfileInfo_v2 {
  unsigned version;
  unsigned id, is_p2p_supported, slice_count, instance_count, multiprocessor_count,
      copy_engine_count, decoder_count, encoder_count, jpeg_count, ofa_count;
  unsigned long long memory_mib;
  char name[kNameBytes];
};
struct GpuInstanceInfo {
  Device device;
  unsigned id, profile_id;
  Placement placement;  // in memory slices
};
struct ComputeInstanceProfileInfo {
  unsigned id, slice_count, instance_count, multiprocessor_count, shared_copy_engine_count,
      shared_decoder_count, shared_encoder_count, shared_jpeg_count, shared_ofa_count;
};
struct ComputeInstanceInfo {
  Device device;  // the MIG device
  GpuInstance gpu_instance;
  unsigned id, profile_id;
  Placement placement;  // in compute slices of its GPU instance
};
struct DeviceAttributes {
  unsigned multiprocessor_count, shared_copy_engine_count, shared_decoder_count,
      shared_encoder_count, shared_jpeg_count, shared_ofa_count, gpu_instance_slice_count,
      compute_instance_slice_count;
  unsigned long long memory_mib;
};
struct EventData {
  Device device;
  unsigned long long type, data;
  unsigned gpu_instance, compute_instance;
};
struct GpmSupport {
  unsigned version, is_supported;
};
struct GpmMetric {
  unsigned id;
  Return result;
  double value;
  struct {
    char *short_name, *long_name, *unit;
  } info;
};
struct GpmMetricsGet {
  unsigned version, count;
  GpmSample first, second;
  GpmMetric metrics[kGpmMetricsMax];
};
struct FieldValue {
  unsigned field, scope;
  long long timestamp_us, latency_us;
  unsigned value_type;  // 1: unsigned int
  Return result;
  union {
    double real;
    int signed_int;
    unsigned unsigned_int;
    unsigned long long unsigned_long_long;
  } value;
};

// X(symbol, parameters), in the order of use. Those of before the R450 driver are there on every
// machine that can run sheaf; the others may be missing.
#define SHEAF_NVML_FUNCTIONS(X)                                                                 \
  X(nvmlInit_v2, ())                                                                            \
  X(nvmlShutdown, ())                                                                           \
  X(nvmlSystemGetDriverVersion, (char*, unsigned))                                              \
  X(nvmlSystemGetNVMLVersion, (char*, unsigned))                                                \
  X(nvmlSystemGetCudaDriverVersion_v2, (int*))                                                  \
  X(nvmlDeviceGetCount_v2, (unsigned*))                                                         \
  X(nvmlDeviceGetHandleByIndex_v2, (unsigned, abi::Device*))                                    \
  X(nvmlDeviceGetHandleByUUID, (const char*, abi::Device*))                                     \
  X(nvmlDeviceGetName, (abi::Device, char*, unsigned))                                          \
  X(nvmlDeviceGetUUID, (abi::Device, char*, unsigned))                                          \
  X(nvmlDeviceGetMinorNumber, (abi::Device, unsigned*))                                         \
  X(nvmlDeviceGetPciInfo_v3, (abi::Device, abi::PciInfo*))                                      \
  X(nvmlDeviceGetMemoryInfo, (abi::Device, abi::Memory*))                                       \
  X(nvmlDeviceGetMemoryInfo_v2, (abi::Device, abi::Memory_v2*))                                 \
  X(nvmlDeviceGetCudaComputeCapability, (abi::Device, int*, int*))                              \
  X(nvmlDeviceGetComputeMode, (abi::Device, unsigned*))                                         \
  X(nvmlDeviceGetPersistenceMode, (abi::Device, unsigned*))                                     \
  X(nvmlDeviceGetEccMode, (abi::Device, unsigned*, unsigned*))                                  \
  X(nvmlDeviceGetTotalEccErrors, (abi::Device, unsigned, unsigned, unsigned long long*))        \
  X(nvmlDeviceGetRetiredPagesPendingStatus, (abi::Device, unsigned*))                           \
  X(nvmlDeviceGetRemappedRows, (abi::Device, unsigned*, unsigned*, unsigned*, unsigned*))       \
  X(nvmlDeviceGetTemperature, (abi::Device, unsigned, unsigned*))                               \
  X(nvmlDeviceGetPowerUsage, (abi::Device, unsigned*))                                          \
  X(nvmlDeviceGetEnforcedPowerLimit, (abi::Device, unsigned*))                                  \
  X(nvmlDeviceGetUtilizationRates, (abi::Device, abi::Utilization*))                            \
  X(nvmlDeviceGetClockInfo, (abi::Device, unsigned, unsigned*))                                 \
  X(nvmlDeviceGetCurrPcieLinkGeneration, (abi::Device, unsigned*))                              \
  X(nvmlDeviceGetMaxPcieLinkGeneration, (abi::Device, unsigned*))                               \
  X(nvmlDeviceGetCurrPcieLinkWidth, (abi::Device, unsigned*))                                   \
  X(nvmlDeviceGetMaxPcieLinkWidth, (abi::Device, unsigned*))                                    \
  X(nvmlDeviceGetNvLinkState, (abi::Device, unsigned, unsigned*))                               \
  X(nvmlDeviceGetCurrentClocksThrottleReasons, (abi::Device, unsigned long long*))              \
  X(nvmlDeviceGetFieldValues, (abi::Device, int, abi::FieldValue*))                             \
  X(nvmlDeviceGetComputeRunningProcesses_v3, (abi::Device, unsigned*, abi::ProcessInfo*))       \
  X(nvmlDeviceGetGraphicsRunningProcesses_v3, (abi::Device, unsigned*, abi::ProcessInfo*))      \
  X(nvmlDeviceGetMPSComputeRunningProcesses_v3, (abi::Device, unsigned*, abi::ProcessInfo*))    \
  X(nvmlDeviceGetMigMode, (abi::Device, unsigned*, unsigned*))                                  \
  X(nvmlDeviceSetMigMode, (abi::Device, unsigned, abi::Return*))                                \
  X(nvmlDeviceGetGpuInstanceProfileInfo, (abi::Device, unsigned, abi::GpuInstanceProfileInfo*)) \
  X(nvmlDeviceGetGpuInstanceProfileInfoV,                                                       \
    (abi::Device, unsigned, abi::GpuInstanceProfileInfo_v2*))                                   \
  X(nvmlDeviceGetGpuInstancePossiblePlacements_v2,                                              \
    (abi::Device, unsigned, abi::Placement*, unsigned*))                                        \
  X(nvmlDeviceCreateGpuInstanceWithPlacement,                                                   \
    (abi::Device, unsigned, const abi::Placement*, abi::GpuInstance*))                          \
  X(nvmlGpuInstanceDestroy, (abi::GpuInstance))                                                 \
  X(nvmlDeviceGetGpuInstances, (abi::Device, unsigned, abi::GpuInstance*, unsigned*))           \
  X(nvmlDeviceGetGpuInstanceById, (abi::Device, unsigned, abi::GpuInstance*))                   \
  X(nvmlGpuInstanceGetInfo, (abi::GpuInstance, abi::GpuInstanceInfo*))                          \
  X(nvmlGpuInstanceGetComputeInstanceProfileInfo,                                               \
    (abi::GpuInstance, unsigned, unsigned, abi::ComputeInstanceProfileInfo*))                   \
  X(nvmlGpuInstanceCreateComputeInstance, (abi::GpuInstance, unsigned, abi::ComputeInstance*))  \
  X(nvmlGpuInstanceCreateComputeInstanceWithPlacement,                                          \
    (abi::GpuInstance, unsigned, const abi::Placement*, abi::ComputeInstance*))                 \
  X(nvmlComputeInstanceDestroy, (abi::ComputeInstance))                                         \
  X(nvmlGpuInstanceGetComputeInstances,                                                         \
    (abi::GpuInstance, unsigned, abi::ComputeInstance*, unsigned*))                             \
  X(nvmlComputeInstanceGetInfo_v2, (abi::ComputeInstance, abi::ComputeInstanceInfo*))           \
  X(nvmlDeviceGetMaxMigDeviceCount, (abi::Device, unsigned*))                                   \
  X(nvmlDeviceGetMigDeviceHandleByIndex, (abi::Device, unsigned, abi::Device*))                 \
  X(nvmlDeviceGetGpuInstanceId, (abi::Device, unsigned*))                                       \
  X(nvmlDeviceGetComputeInstanceId, (abi::Device, unsigned*))                                   \
  X(nvmlDeviceGetAttributes_v2, (abi::Device, abi::DeviceAttributes*))                          \
  X(nvmlEventSetCreate, (abi::EventSet*))                                                       \
  X(nvmlEventSetFree, (abi::EventSet))                                                          \
  X(nvmlDeviceRegisterEvents, (abi::Device, unsigned long long, abi::EventSet))                 \
  X(nvmlEventSetWait_v2, (abi::EventSet, abi::EventData*, unsigned))                            \
  X(nvmlGpmQueryDeviceSupport, (abi::Device, abi::GpmSupport*))                                 \
  X(nvmlGpmSampleAlloc, (abi::GpmSample*))                                                      \
  X(nvmlGpmSampleFree, (abi::GpmSample))                                                        \
  X(nvmlGpmSampleGet, (abi::Device, abi::GpmSample))                                            \
  X(nvmlGpmMigSampleGet, (abi::Device, unsigned, abi::GpmSample))                               \
  X(nvmlGpmMetricsGet, (abi::GpmMetricsGet*))

}  // namespace sheaf::slices::abi
