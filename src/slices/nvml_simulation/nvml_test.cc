#include "slices/nvml.h"

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "slices/nvml_simulation/fixture.h"

namespace sheaf::slices {
namespace {

using simulation::SimulatedMachine;

const std::vector<const char*> kSymbols = {
#define SHEAF_NAME(symbol, parameters) #symbol,
    SHEAF_NVML_FUNCTIONS(SHEAF_NAME)
#undef SHEAF_NAME
};

TEST(Nvml, TheSimulationHasEverySymbolThatIsUsed) {
  void* library = dlopen(SimulatedMachine::library_path().c_str(), RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(library, nullptr) << dlerror();
  for (const char* symbol : kSymbols) EXPECT_NE(dlsym(library, symbol), nullptr) << symbol;
  dlclose(library);
}

TEST(Nvml, TellsOfEachCardWhatTheTableSays) {
  std::vector<std::string> keys;
  for (const CardModel& card : card_models()) keys.emplace_back(card.key);
  SimulatedMachine machine(keys);
  const Nvml nvml = machine.open();
  EXPECT_EQ(nvml.driver_version(), "570.133.20");
  EXPECT_EQ(nvml.cuda_version(), 12080);
  ASSERT_EQ(*nvml.device_count(), keys.size());
  for (unsigned i = 0; i < keys.size(); ++i) {
    const CardModel& card = card_models()[i];
    const abi::Device device = *nvml.device(i);
    EXPECT_EQ(*nvml.name(device), card.product);
    EXPECT_EQ(nvml.memory(device)->total, card.memory_bytes());
    EXPECT_EQ(nvml.compute_capability(device)->major, card.compute_capability_major);
    EXPECT_EQ(*nvml.device_by_uuid(*nvml.uuid(device)), device);
    EXPECT_EQ(nvml.mig_mode(device).ok(), card.has_mig());
    const auto profiles = nvml.gpu_profiles(device);
    ASSERT_TRUE(profiles.ok());
    ASSERT_EQ(profiles->size(), card.profiles.size());
    for (const NvmlGpuProfile& profile : *profiles)
      EXPECT_EQ(find_profile_by_id(card, profile.info.id)->name, profile.name);
  }
}

TEST(Nvml, NothingThereIsASentence) {
  const auto none = Nvml::open("/no/such/libnvidia-ml.so.1");
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().code, ErrorCode::not_found);
  EXPECT_NE(none.error().message.find("it comes with NVIDIA's driver"), std::string::npos);

  SimulatedMachine machine({"l4"});
  setenv("SHEAF_NVML_SIM_STATE", "/no/such/state", 1);
  const auto unloaded = Nvml::open();
  ASSERT_FALSE(unloaded.ok());
  EXPECT_EQ(unloaded.error().message, "nvmlInit_v2: Driver Not Loaded; load it: modprobe nvidia");
}

TEST(Nvml, ErrorsNameTheCapability) {
  EXPECT_EQ(
      nvml_error({"nvmlDeviceSetMigMode", abi::kNoPermission}).message,
      "nvmlDeviceSetMigMode: Insufficient Permissions; it needs CAP_SYS_ADMIN: run it as root");
  EXPECT_NE(nvml_error({"nvmlGpuInstanceDestroy", abi::kNoPermission}).message.find("mig/config"),
            std::string::npos);
  EXPECT_NE(
      nvml_error({"nvmlDeviceGetGpuInstances", abi::kNoPermission}).message.find("mig/monitor"),
      std::string::npos);
  EXPECT_EQ(nvml_error({"nvmlX", abi::kNoPermission}).code, ErrorCode::permission_denied);
  EXPECT_EQ(nvml_error({"nvmlX", abi::kInUse}).code, ErrorCode::unavailable);
  EXPECT_EQ(nvml_error({"nvmlX", 12345}).message, "nvmlX: Unknown Error");
}

// Every error from every call arrives as it is, and the next call works.
TEST(Nvml, EveryErrorOfACallArrives) {
  SimulatedMachine machine({"a100-40"});
  const Nvml nvml = machine.open();
  const abi::Device device = *nvml.device(0);
  for (abi::Return code = 1; code <= 30; ++code) {
    machine.add_fault("nvmlDeviceGetName", code);
    const auto name = nvml.name(device);
    ASSERT_FALSE(name.ok()) << code;
    EXPECT_EQ(name.error().message.find("nvmlDeviceGetName: "), 0u) << name.error().message;
    EXPECT_TRUE(nvml.name(device).ok());
  }
}

TEST(Nvml, ALostCardSaysSo) {
  SimulatedMachine machine({"a100-40"});
  const Nvml nvml = machine.open();
  const abi::Device device = *nvml.device(0);
  machine.file().lock()->cards[0].lost = true;
  EXPECT_EQ(nvml.memory(device).error().message,
            "nvmlDeviceGetMemoryInfo: GPU is lost; the card fell off the bus: reboot the machine");
}

TEST(Nvml, ACallMayHang) {
  SimulatedMachine machine({"a100-40"});
  const Nvml nvml = machine.open();
  machine.file().add_fault({.kind = simulation::SimFaultKind::hang, .milliseconds = 50});
  const auto before = std::chrono::steady_clock::now();
  EXPECT_TRUE(nvml.device(0).ok());
  EXPECT_GE(std::chrono::steady_clock::now() - before, std::chrono::milliseconds(50));
}

// A driver that knows only the first structs: the same answers, but for names.
TEST(Nvml, OlderStructsDo) {
  SimulatedMachine machine({"a100-40"});
  machine.file().lock()->struct_version = 1;
  const Nvml nvml = machine.open();
  const abi::Device device = *nvml.device(0);
  EXPECT_EQ(nvml.memory(device)->total, 40960ull << 20);
  const auto profiles = nvml.gpu_profiles(device);
  ASSERT_TRUE(profiles.ok());
  EXPECT_EQ(profiles->size(), 7u);
  EXPECT_EQ(profiles->front().name, "");
}

TEST(Nvml, MissingSymbolsAreErrorsOfTheirCallsAlone) {
  SimulatedMachine machine({"a100-40"});
  machine.enable_mig();
  {
    const auto nvml = Nvml::open(machine.library_without("nvmlDeviceGetPciInfo_v3"));
    ASSERT_TRUE(nvml.ok()) << nvml.error().message;
    const abi::Device device = *nvml->device(0);
    const auto pci = nvml->pci(device);
    ASSERT_FALSE(pci.ok());
    EXPECT_EQ(pci.error().code, ErrorCode::unsupported);
    EXPECT_EQ(pci.error().message,
              "nvmlDeviceGetPciInfo_v3: Function Not Found; the driver is older than this call: "
              "update it");
    EXPECT_TRUE(nvml->name(device).ok());
  }
  const auto useless = Nvml::open(machine.library_without("nvmlInit_v2"));
  ASSERT_FALSE(useless.ok());
  EXPECT_NE(useless.error().message.find("is no NVML that sheaf knows"), std::string::npos);
}

TEST(Nvml, CreatesAndDestroysInstances) {
  SimulatedMachine machine({"a100-40"});
  machine.enable_mig();
  const Nvml nvml = machine.open();
  const abi::Device device = *nvml.device(0);
  const auto gpu = nvml.create_gpu_instance(device, 9, {4, 4});
  ASSERT_TRUE(gpu.ok()) << gpu.error().message;
  EXPECT_EQ(gpu->info.id, 2u);
  const auto profiles = nvml.compute_profiles(gpu->handle);
  ASSERT_TRUE(profiles.ok());
  ASSERT_EQ(profiles->size(), 3u);
  const auto compute = nvml.create_compute_instance(gpu->handle, 2, std::nullopt);
  ASSERT_TRUE(compute.ok()) << compute.error().message;
  EXPECT_EQ(nvml.memory(compute->info.device)->total, 19968ull << 20);
  EXPECT_EQ(*nvml.name(compute->info.device), "NVIDIA A100-SXM4-40GB MIG 3g.20gb");

  machine.add_process(0, {.pid = 77, .gpu_instance = 2, .compute_instance = 0, .bytes = 1 << 30});
  EXPECT_EQ(nvml.processes(compute->info.device, Nvml::ProcessKind::compute)->at(0).pid, 77u);
  EXPECT_EQ(nvml.memory(compute->info.device)->used, 1ull << 30);
  EXPECT_EQ(nvml.destroy_compute_instance(compute->handle).error().message,
            "nvmlComputeInstanceDestroy: In use by another client");
  machine.file().lock()->cards[0].processes[0] = {};
  EXPECT_FALSE(nvml.destroy_gpu_instance(gpu->handle).ok());  // it holds a compute instance
  EXPECT_TRUE(nvml.destroy_compute_instance(compute->handle).ok());
  EXPECT_TRUE(nvml.destroy_gpu_instance(gpu->handle).ok());
  EXPECT_FALSE(nvml.memory(compute->info.device).ok());  // the handle died with it
}

TEST(Nvml, XidEventsReachWhoWatches) {
  SimulatedMachine machine({"l4", "a100-40"});
  const Nvml nvml = machine.open();
  const auto set = nvml.event_set();
  ASSERT_TRUE(set.ok()) << set.error().message;
  ASSERT_TRUE(nvml.watch_xids(*nvml.device(1), *set).ok());
  machine.raise_xid(0, 13);
  for (const unsigned xid : {79, 94, 31}) machine.raise_xid(1, xid, 3);
  for (const unsigned xid : {79, 94, 31}) {
    const auto event = nvml.wait_for_event(*set, 1000);
    ASSERT_TRUE(event.ok() && *event);
    EXPECT_EQ((*event)->data, xid);
    EXPECT_EQ((*event)->device, *nvml.device(1));
    EXPECT_EQ((*event)->gpu_instance, 3u);
  }
  const auto none = nvml.wait_for_event(*set, 1);
  EXPECT_TRUE(none.ok() && !*none);
}

TEST(Nvml, ListsMigDevicesWithTheirInstances) {
  SimulatedMachine machine({"a100-40"});
  machine.enable_mig();
  const Nvml nvml = machine.open();
  const abi::Device card = *nvml.device(0);
  EXPECT_TRUE(nvml.mig_devices(card)->empty());
  const auto gpu = nvml.create_gpu_instance(card, 9, {4, 4});  // 3g.20gb
  ASSERT_TRUE(gpu.ok());
  ASSERT_TRUE(nvml.create_compute_instance(gpu->handle, 0, std::nullopt).ok());  // 1c.3g.20gb
  const auto other = nvml.create_gpu_instance(card, 19, {0, 1});
  ASSERT_TRUE(other.ok());
  ASSERT_TRUE(nvml.create_compute_instance(other->handle, 0, std::nullopt).ok());
  const auto devices = nvml.mig_devices(card);
  ASSERT_TRUE(devices.ok()) << devices.error().message;
  ASSERT_EQ(devices->size(), 2u);
  EXPECT_EQ(devices->at(0).gpu_instance, gpu->info.id);
  EXPECT_FALSE(devices->at(0).whole);
  EXPECT_EQ(devices->at(1).gpu_instance, other->info.id);
  EXPECT_TRUE(devices->at(1).whole);
}

// Of Hopper and later, between two samples of the same thing that lie far enough apart.
TEST(Nvml, GpmTellsTheLoadBetweenTwoSamples) {
  SimulatedMachine machine({"h100-80", "a100-40"});
  machine.file().lock()->cards[0].load = {.gpu = 90, .multiprocessors = 40, .memory = 25};
  const Nvml nvml = machine.open();
  const abi::Device card = *nvml.device(0);
  EXPECT_TRUE(*nvml.has_gpm(card));
  EXPECT_FALSE(*nvml.has_gpm(*nvml.device(1)));
  EXPECT_EQ(nvml.gpm_sample(*nvml.device(1)).error().code, ErrorCode::unsupported);

  const auto first = nvml.gpm_sample(card);
  ASSERT_TRUE(first.ok()) << first.error().message;
  EXPECT_FALSE(nvml.gpm_load(*first, *nvml.gpm_sample(card)).ok());  // too near
  std::this_thread::sleep_for(std::chrono::milliseconds(110));
  const auto load = nvml.gpm_load(*first, *nvml.gpm_sample(card));
  ASSERT_TRUE(load.ok()) << load.error().message;
  EXPECT_EQ(load->active, 90);
  EXPECT_EQ(load->multiprocessors, 40);
  EXPECT_EQ(load->memory_bandwidth, 25);
}

}  // namespace
}  // namespace sheaf::slices
