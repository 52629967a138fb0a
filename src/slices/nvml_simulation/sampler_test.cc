#include "slices/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>

#include "slices/nvml_simulation/fixture.h"

namespace sheaf::slices {
namespace {

using simulation::SimulatedMachine;

constexpr TimeUs kQuickUs = 200'000;
constexpr TimeUs kLongUs = 20 * kSecond;

// Polls until `condition` holds; false after a generous while.
template <class Condition>
bool becomes_true(Condition condition) {
  for (const TimeUs end = monotonic_us() + kLongUs; monotonic_us() < end;) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

std::size_t threads_here() {
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) {
    (void)entry;
    ++count;
  }
  return count;
}

// 1g.5gb instances at the first places, one compute instance each; gives their ids.
std::vector<unsigned> cut_off_slices(SimulatedMachine& machine, unsigned card, unsigned count) {
  const Nvml nvml = machine.open();
  const abi::Device device = *nvml.device(card);
  const unsigned profile = nvml.gpu_profiles(device)->front().info.id;
  std::vector<unsigned> ids;
  for (unsigned start = 0; start < count; ++start) {
    const auto instance = nvml.create_gpu_instance(device, profile, {start, 1});
    EXPECT_TRUE(instance.ok()) << instance.error().message;
    EXPECT_TRUE(nvml.create_compute_instance(instance->handle, 0, std::nullopt).ok());
    ids.push_back(instance->info.id);
  }
  return ids;
}

TEST(SamplerTest, ReadsWhatCardsTell) {
  SimulatedMachine machine({"a100-40"});
  machine.add_process(0, {.pid = static_cast<std::uint32_t>(getpid()), .bytes = 3ull << 30});
  {
    auto state = machine.file().lock();
    state->cards[0].load = {.gpu = 73, .multiprocessors = 20, .memory = 11};
    state->cards[0].temperature_c = 61;
    state->cards[0].power_mw = 250'500;
    state->cards[0].sm_clock_mhz = 1275;
  }
  const Sampler sampler({.interval_us = kQuickUs});
  ASSERT_TRUE(sampler.wait_for_readings(1, kLongUs));
  EXPECT_TRUE(sampler.status().ok());
  const auto samples = sampler.samples();
  ASSERT_EQ(samples.size(), 1u);
  const SliceSample& card = samples[0];
  EXPECT_EQ(card.slice, "gpu:0");
  EXPECT_EQ(card.name, "NVIDIA A100-SXM4-40GB");
  EXPECT_EQ(card.uuid, std::string(machine.file().lock()->cards[0].uuid));
  EXPECT_EQ(card.load_source, LoadSource::nvml);
  EXPECT_EQ(card.load, 0.73);
  EXPECT_FALSE(card.multiprocessor_load);  // this card has no GPM
  EXPECT_EQ(card.memory_bytes, 40960ull << 20);
  EXPECT_EQ(card.memory_used_bytes, 3ull << 30);
  EXPECT_EQ(card.temperature_c, 61u);
  EXPECT_EQ(card.power_mw, 250'500u);
  EXPECT_EQ(card.power_limit_mw, 400'000u);
  EXPECT_EQ(card.sm_clock_mhz, 1275u);
  EXPECT_EQ(card.memory_clock_mhz, 1593u);
  ASSERT_EQ(card.processes.size(), 1u);
  EXPECT_EQ(card.processes[0].pid, static_cast<unsigned>(getpid()));
  EXPECT_TRUE(card.is_fresh());
  EXPECT_EQ(card.silent_us, 0);
}

TEST(SamplerTest, FollowsWhatChanges) {
  SimulatedMachine machine({"l4"});
  const Sampler sampler({.interval_us = kQuickUs});
  ASSERT_TRUE(sampler.wait_for_readings(1, kLongUs));
  EXPECT_EQ(sampler.samples().at(0).load, 0.0);
  machine.file().lock()->cards[0].load.gpu = 100;
  EXPECT_TRUE(becomes_true([&] { return sampler.samples().at(0).load == 1.0; }));
}

TEST(SamplerTest, HoppersLoadIsGpms) {
  SimulatedMachine machine({"h100-80"});
  machine.file().lock()->cards[0].load = {.gpu = 90, .multiprocessors = 40, .memory = 25};
  const Sampler sampler({.interval_us = kQuickUs});
  ASSERT_TRUE(sampler.wait_for_readings(2, kLongUs));
  const SliceSample card = sampler.samples().at(0);
  EXPECT_EQ(card.load_source, LoadSource::gpm);
  EXPECT_EQ(card.load, 0.9);
  EXPECT_EQ(card.multiprocessor_load, 0.4);
  EXPECT_EQ(card.memory_load, 0.25);
}

TEST(SamplerTest, GpmTellsInstancesApart) {
  SimulatedMachine machine({"h100-80"});
  machine.enable_mig();
  const auto ids = cut_off_slices(machine, 0, 2);
  machine.file().lock()->cards[0].instances[ids[0]].load = {.gpu = 80};
  machine.file().lock()->cards[0].instances[ids[1]].load = {.gpu = 10};
  machine.add_process(0, {.pid = 77, .gpu_instance = ids[1], .compute_instance = 0, .bytes = 99});
  const Sampler sampler({.interval_us = kQuickUs});
  ASSERT_TRUE(sampler.wait_for_readings(2, kLongUs));
  const auto samples = sampler.samples();
  ASSERT_EQ(samples.size(), 3u);
  EXPECT_TRUE(samples[0].cut);
  EXPECT_FALSE(samples[0].load);  // nobody tells it of a card that is cut
  for (const SliceSample& one : {samples[1], samples[2]}) {
    EXPECT_EQ(one.slice, "mig:0/" + std::to_string(*one.gpu_instance));
    EXPECT_EQ(one.load_source, LoadSource::gpm);
    EXPECT_EQ(one.load, *one.gpu_instance == ids[0] ? 0.8 : 0.1);
    EXPECT_EQ(one.processes.size(), *one.gpu_instance == ids[0] ? 0u : 1u);
    EXPECT_TRUE(one.uuid.starts_with("MIG-"));
    EXPECT_TRUE(one.name.ends_with(" MIG 1g.10gb")) << one.name;
    EXPECT_FALSE(one.temperature_c);
  }
}

// Where NVML has no load, it is the time that sheaf's replicas computed: here half of it.
TEST(SamplerTest, AmpereInstancesHaveSheafsOwnBusyTime) {
  SimulatedMachine machine({"a100-40"});
  machine.enable_mig();
  const auto ids = cut_off_slices(machine, 0, 2);
  const std::string busy_slice = "mig:0/" + std::to_string(ids[0]);
  const TimeUs begin = monotonic_us();
  const Sampler sampler({.interval_us = kQuickUs,
                         .busy_time = [&](const std::string& slice) -> std::optional<TimeUs> {
                           if (slice != busy_slice) return std::nullopt;
                           return (monotonic_us() - begin) / 2;
                         }});
  ASSERT_TRUE(sampler.wait_for_readings(2, kLongUs));
  for (const SliceSample& one : sampler.samples()) {
    if (one.slice == busy_slice) {
      EXPECT_EQ(one.load_source, LoadSource::busy_time);
      EXPECT_NEAR(one.load.value_or(-1), 0.5, 0.05);
    } else {
      EXPECT_EQ(one.load_source, LoadSource::none);
      EXPECT_FALSE(one.load);
    }
  }
}

TEST(SamplerTest, AnInstanceThatGoesIsGoneWithTheNextReading) {
  SimulatedMachine machine({"h100-80"});
  machine.enable_mig();
  const auto ids = cut_off_slices(machine, 0, 1);
  const Sampler sampler({.interval_us = kQuickUs});
  ASSERT_TRUE(sampler.wait_for_readings(1, kLongUs));
  EXPECT_EQ(sampler.samples().size(), 2u);
  machine.file().lock()->cards[0].instances[ids[0]] = {};
  EXPECT_TRUE(becomes_true([&] { return sampler.samples().size() == 1; }));
}

TEST(SamplerTest, AHangingCardHoldsUpNobodyElse) {
  const std::size_t threads = threads_here();
  SimulatedMachine machine({"l4", "l4", "l4"});
  machine.hang("nvmlDeviceGetTemperature", 1, 3000);
  {
    const Sampler sampler({.interval_us = kQuickUs});
    EXPECT_TRUE(becomes_true([&] {
      const auto samples = sampler.samples();
      return samples.size() == 3 && samples[0].age_us && samples[2].age_us &&
             samples[1].silent_us > kSecond;
    }));
    machine.file().lock()->cards[2].load.gpu = 50;
    EXPECT_TRUE(becomes_true([&] { return sampler.samples().at(2).load == 0.5; }));
    const SliceSample hung = sampler.samples().at(1);
    EXPECT_FALSE(hung.age_us);
    EXPECT_EQ(hung.slice, "gpu:1");
    EXPECT_EQ(hung.error, "");
    EXPECT_FALSE(hung.is_fresh());
    // It comes back as if nothing had been.
    EXPECT_TRUE(becomes_true([&] { return sampler.samples().at(1).is_fresh(); }));
  }
  EXPECT_TRUE(becomes_true([&] { return threads_here() == threads; }));
}

TEST(SamplerTest, TheEndDoesNotWaitForAHangingCard) {
  const std::size_t threads = threads_here();
  SimulatedMachine machine({"l4", "l4"});
  machine.hang("nvmlDeviceGetTemperature", 1, 4000);
  std::atomic<bool> gone = false, called_after = false;
  TimeUs began = 0;
  {
    const Sampler sampler(
        {.interval_us = kQuickUs, .busy_time = [&](const std::string&) -> std::optional<TimeUs> {
           called_after = called_after || gone;
           return std::nullopt;
         }});
    ASSERT_TRUE(becomes_true([&] {
      const auto samples = sampler.samples();
      return samples.size() == 2 && samples[1].silent_us > 0;
    }));
    began = monotonic_us();
  }
  gone = true;
  EXPECT_LT(monotonic_us() - began, 2 * kSecond);
  // The thread that was left behind ends when the card answers, and asks for nothing more.
  EXPECT_TRUE(becomes_true([&] { return threads_here() == threads; }));
  EXPECT_FALSE(called_after);
}

TEST(SamplerTest, NvmlThatHangsWhenItIsOpenedHoldsUpNobody) {
  const std::size_t threads = threads_here();
  SimulatedMachine machine({"l4"});
  machine.hang("nvmlInit_v2", simulation::kAnyCard, 1500);
  const TimeUs began = monotonic_us();
  {
    const Sampler sampler;
    EXPECT_TRUE(sampler.samples().empty());
    EXPECT_EQ(sampler.status().error().code, ErrorCode::deadline_exceeded);
    EXPECT_EQ(sampler.status().error().message, "NVML has not answered yet");
    EXPECT_FALSE(sampler.wait_for_readings(1, 1000));
  }
  EXPECT_LT(monotonic_us() - began, 1'400'000);
  EXPECT_TRUE(becomes_true([&] { return threads_here() == threads; }));
}

TEST(SamplerTest, ALostCardKeepsItsLastValuesAndSaysWhy) {
  SimulatedMachine machine({"l4", "l4"});
  const Sampler sampler({.interval_us = kQuickUs});
  ASSERT_TRUE(sampler.wait_for_readings(1, kLongUs));
  machine.file().lock()->cards[0].lost = true;
  ASSERT_TRUE(becomes_true([&] { return !sampler.samples().at(0).error.empty(); }));
  const auto samples = sampler.samples();
  EXPECT_NE(samples[0].error.find("GPU is lost"), std::string::npos) << samples[0].error;
  EXPECT_TRUE(samples[0].temperature_c);
  EXPECT_FALSE(samples[0].is_fresh());
  EXPECT_TRUE(samples[1].is_fresh());
  machine.file().lock()->cards[0].lost = false;
  EXPECT_TRUE(becomes_true([&] { return sampler.samples().at(0).is_fresh(); }));
}

TEST(SamplerTest, CountsXidsAndTellsOfEach) {
  SimulatedMachine machine({"l4", "a100-40"});
  std::mutex mutex;
  std::vector<XidEvent> heard;
  const Sampler sampler({.interval_us = kQuickUs, .on_xid = [&](const XidEvent& event) {
                           const std::lock_guard lock(mutex);
                           heard.push_back(event);
                         }});
  ASSERT_TRUE(sampler.wait_for_readings(2, kLongUs));  // by now the cards are watched
  machine.file().lock()->cards[1].recovery_action = 1;
  for (int i = 0; i < 20; ++i) machine.raise_xid(1, 31, 3);
  machine.raise_xid(1, 154);
  ASSERT_TRUE(becomes_true([&] {
    const std::lock_guard lock(mutex);
    return heard.size() == 21;
  }));
  const std::map<unsigned, std::uint64_t> expected = {{31, 20}, {154, 1}};
  EXPECT_EQ(sampler.samples().at(1).xids, expected);
  EXPECT_TRUE(sampler.samples().at(0).xids.empty());
  EXPECT_EQ(heard[0].gpu, 1u);
  EXPECT_EQ(heard[0].gpu_instance, 3u);
  EXPECT_FALSE(heard[20].gpu_instance);
  EXPECT_EQ(heard[20].recovery_action, 1u);
}

TEST(SamplerTest, WithoutNvmlThereAreNoCardsAndAReason) {
  SimulatedMachine machine({"l4"});
  setenv("SHEAF_NVML", "/no/such/libnvidia-ml.so.1", 1);
  const Sampler sampler;
  ASSERT_TRUE(sampler.wait_for_readings(1, kLongUs));
  EXPECT_TRUE(sampler.samples().empty());
  EXPECT_EQ(sampler.status().error().code, ErrorCode::not_found);
  EXPECT_NE(sampler.status().error().message.find("it comes with NVIDIA's driver"),
            std::string::npos);
}

// Each call that a driver may lack takes its own values away, and no others.
TEST(SamplerTest, OlderDriversTellLess) {
  const std::pair<const char*, bool (*)(const SliceSample&)> lacks[] = {
      {"nvmlDeviceGetClockInfo", [](const SliceSample& s) { return !s.sm_clock_mhz; }},
      {"nvmlDeviceGetTemperature", [](const SliceSample& s) { return !s.temperature_c; }},
      {"nvmlGpmQueryDeviceSupport",
       [](const SliceSample& s) { return s.load_source == LoadSource::nvml; }},
      {"nvmlGpmSampleGet", [](const SliceSample& s) { return s.load_source == LoadSource::nvml; }},
      {"nvmlGpmSampleFree", [](const SliceSample& s) { return s.load_source == LoadSource::nvml; }},
      {"nvmlEventSetWait_v2", [](const SliceSample& s) { return s.xids.empty(); }},
      {"nvmlEventSetCreate", [](const SliceSample& s) { return s.xids.empty(); }},
      {"nvmlDeviceGetMigMode", [](const SliceSample& s) { return !s.cut; }}};
  for (const auto& [symbol, is_missing] : lacks) {
    SimulatedMachine machine({"h100-80"});
    machine.file().lock()->cards[0].load = {.gpu = 40};
    setenv("SHEAF_NVML", machine.library_without(symbol).c_str(), 1);
    const Sampler sampler({.interval_us = kQuickUs});
    ASSERT_TRUE(sampler.wait_for_readings(1, kLongUs)) << symbol;
    machine.raise_xid(0, 13);
    ASSERT_TRUE(sampler.wait_for_readings(2, kLongUs)) << symbol;
    const SliceSample card = sampler.samples().at(0);
    EXPECT_TRUE(is_missing(card)) << symbol;
    EXPECT_EQ(card.load, 0.4) << symbol;
    EXPECT_TRUE(card.power_mw) << symbol;
    EXPECT_TRUE(card.is_fresh()) << symbol;
  }
}

TEST(SamplerTest, OlderStructsDo) {
  SimulatedMachine machine({"h100-80"});
  machine.file().lock()->struct_version = 1;
  const Sampler sampler({.interval_us = kQuickUs});
  ASSERT_TRUE(sampler.wait_for_readings(2, kLongUs));
  const SliceSample card = sampler.samples().at(0);
  EXPECT_EQ(card.memory_bytes, 81559ull << 20);
  EXPECT_EQ(card.load_source, LoadSource::gpm);
}

// Whatever a call answers, the next reading is as if nothing had been.
TEST(SamplerTest, NoErrorOfACallEndsIt) {
  SimulatedMachine machine({"h100-80"});
  machine.enable_mig();
  cut_off_slices(machine, 0, 1);
  const Sampler sampler({.interval_us = kQuickUs});
  ASSERT_TRUE(sampler.wait_for_readings(2, kLongUs));
  const auto faults_left = [&] {
    auto state = machine.file().lock();
    return std::ranges::any_of(state->faults, [](const auto& fault) { return fault.used; });
  };
  for (const abi::Return code : {abi::kNotSupported, abi::kNoPermission, abi::kNotFound,
                                 abi::kGpuIsLost, abi::kTimeout, abi::kUnknown}) {
    machine.add_fault("", code, 5, 9);
    ASSERT_TRUE(becomes_true([&] { return !faults_left(); })) << code;
    EXPECT_TRUE(becomes_true([&] {
      const auto samples = sampler.samples();
      return samples.size() == 2 && samples[0].is_fresh() && samples[1].load;
    })) << code;
  }
}

}  // namespace
}  // namespace sheaf::slices
