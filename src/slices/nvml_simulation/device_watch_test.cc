#include "slices/device_watch.h"

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>

#include "slices/nvml_simulation/fixture.h"

namespace sheaf::slices {
namespace {

using simulation::SimulatedMachine;

GpuInventory reading_of(SimulatedMachine& machine) {
  const Nvml nvml = machine.open();
  auto read = read_gpus(nvml, nullptr, Reading::devices);
  EXPECT_TRUE(read.ok());
  return std::move(*read);
}

std::vector<std::string> names_of(const std::vector<Device>& devices) {
  std::vector<std::string> names;
  for (const Device& device : devices) names.push_back(device.name());
  return names;
}
using DeviceNames = std::vector<std::string>;

// Of the first card: two 3g.40gb, at memory slices 0 and 4.
void cut_in_two(const Nvml& nvml) {
  const abi::Device card = *nvml.device(0);
  for (const unsigned start : {0u, 4u}) {
    const auto instance = nvml.create_gpu_instance(card, 9, {start, 4});
    ASSERT_TRUE(instance.ok());
    ASSERT_TRUE(nvml.create_compute_instance(instance->handle, 2, std::nullopt).ok());
  }
}

TEST(DevicesOf, ReadsCardsAndMigDevicesWithoutTheRest) {
  SimulatedMachine machine({"h100-80", "l4"});
  machine.file().lock()->cards[0].mig_current = 1;
  cut_in_two(machine.open());
  const GpuInventory reading = reading_of(machine);
  EXPECT_TRUE(reading.simulated);
  EXPECT_FALSE(reading.gpus[1].temperature_c) << "not asked for";
  const auto devices = devices_of(reading);
  EXPECT_EQ(names_of(devices), (DeviceNames{"mig:0/1", "mig:0/2", "gpu:1"}));
  EXPECT_EQ(devices[0].memory_bytes, 40448ull << 20);
  EXPECT_EQ(devices[0].profile, "3g.40gb");
  EXPECT_TRUE(devices[0].uuid.starts_with("MIG-"));
  EXPECT_EQ(devices[0].card_uuid, reading.gpus[0].uuid);
  EXPECT_TRUE(devices[0].is_meant_by("gpu:0"));
  EXPECT_TRUE(devices[0].is_meant_by(devices[0].uuid));
  EXPECT_TRUE(devices[0].is_meant_by("mig:0"));
  EXPECT_FALSE(devices[2].is_meant_by("mig:0"));
  EXPECT_FALSE(devices[0].is_meant_by("mig:0/2"));
  EXPECT_FALSE(devices[0].is_meant_by("1"));
}

TEST(SteadyDevices, TwoReadingsMakeACardGone) {
  SimulatedMachine machine({"l4", "l4"});
  SteadyDevices steady;
  EXPECT_FALSE(steady.take(reading_of(machine))) << "it is too early to say";
  EXPECT_TRUE(steady.take(reading_of(machine)));
  machine.file().lock()->cards[1].lost = true;
  steady.take(reading_of(machine));
  EXPECT_EQ(names_of(steady.now()), (DeviceNames{"gpu:0", "gpu:1"}));
  steady.take(reading_of(machine));
  EXPECT_EQ(names_of(steady.now()), DeviceNames{"gpu:0"});
  machine.file().lock()->cards[1].lost = false;
  steady.take(reading_of(machine));
  EXPECT_EQ(names_of(steady.now()), (DeviceNames{"gpu:0", "gpu:1"}));
}

TEST(SteadyDevices, OneBadReadingIsNone) {
  SimulatedMachine machine({"h100-80"});
  machine.enable_mig();
  cut_in_two(machine.open());
  SteadyDevices steady;
  steady.take(reading_of(machine));
  for (int i = 0; i < 5; ++i) {  // and as many as may be, where the driver does not list instances
    machine.add_fault("nvmlDeviceGetGpuInstances", abi::kUnknown);
    steady.take(reading_of(machine));
    EXPECT_EQ(names_of(steady.now()), (DeviceNames{"mig:0/1", "mig:0/2"}));
    machine.add_fault("nvmlDeviceGetMigMode", abi::kUnknown);
    steady.take(reading_of(machine));
    EXPECT_EQ(names_of(steady.now()), (DeviceNames{"mig:0/1", "mig:0/2"}));
  }
  machine.add_fault("nvmlDeviceGetUUID", abi::kUnknown);
  steady.take(reading_of(machine));
  EXPECT_EQ(steady.now().size(), 2u);
}

// What the watch said last.
class Listener {
 public:
  DeviceWatch::Heard hear() {
    return [this](const std::vector<Device>& devices) {
      const std::lock_guard lock(mutex_);
      names_ = names_of(devices);
      ++times_;
      changed_.notify_all();
    };
  }
  bool hears(const DeviceNames& names) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10), [&] { return names_ == names; });
  }
  int times() {
    const std::lock_guard lock(mutex_);
    return times_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  DeviceNames names_;
  int times_ = 0;
};

TEST(DeviceWatch, TellsWhatComesAndGoes) {
  SimulatedMachine machine({"l4", "l4"});
  Listener listener;
  const DeviceWatch watch(listener.hear(), std::chrono::milliseconds(5));
  EXPECT_TRUE(listener.hears({"gpu:0", "gpu:1"}));
  machine.file().lock()->cards[0].lost = true;
  EXPECT_TRUE(listener.hears({"gpu:1"}));
  machine.file().lock()->cards[0].lost = false;
  EXPECT_TRUE(listener.hears({"gpu:0", "gpu:1"}));
}

TEST(DeviceWatch, SaysNothingWhileNothingCanBeRead) {
  SimulatedMachine machine({"l4"});
  Listener listener;
  const DeviceWatch watch(listener.hear(), std::chrono::milliseconds(5));
  EXPECT_TRUE(listener.hears({"gpu:0"}));
  machine.add_fault("nvmlDeviceGetCount_v2", abi::kUnknown, 0, 20);
  machine.file().lock()->cards[0].lost = true;
  EXPECT_TRUE(listener.hears({})) << "when it can be read again";
}

// Waits until no session of this process is open any more, so that a new one sees the new machine.
bool sees_cards(SimulatedMachine& machine, unsigned count) {
  for (int i = 0; i < 10'000; ++i) {
    if (*machine.open().device_count() == count) return true;
    usleep(1'000);
  }
  return false;
}

TEST(DeviceWatch, LeavesAReadingThatHangsBehind) {
  SimulatedMachine machine({"l4"});
  Listener listener;
  auto watch = std::make_unique<DeviceWatch>(listener.hear(), std::chrono::milliseconds(1));
  ASSERT_TRUE(listener.hears({"gpu:0"}));
  const std::uint64_t calls = machine.file().lock()->calls;
  machine.file().add_fault({.kind = simulation::SimFaultKind::hang, .milliseconds = 2'000});
  for (int i = 0; i < 5'000 && machine.file().lock()->calls == calls; ++i) usleep(1'000);
  const auto before = std::chrono::steady_clock::now();
  watch.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::milliseconds(1'800));
  const int times = listener.times();
  SimulatedMachine other({"l4", "l4", "l4"});
  EXPECT_TRUE(sees_cards(other, 3)) << "the thread that was left behind has ended";
  EXPECT_EQ(listener.times(), times);
}

}  // namespace
}  // namespace sheaf::slices
