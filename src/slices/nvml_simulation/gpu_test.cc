#include "slices/gpu.h"

#include <gtest/gtest.h>

#include "slices/nvml_simulation/fixture.h"

namespace sheaf::slices {
namespace {

using simulation::SimulatedMachine;

GpuInventory inventory_of(SimulatedMachine& machine, const char* visible = nullptr) {
  const Nvml nvml = machine.open();
  auto read = read_gpus(nvml, visible);
  EXPECT_TRUE(read.ok());
  return std::move(*read);
}

TEST(ReadGpus, TellsWhatThereIs) {
  SimulatedMachine machine({"a100-40", "l4", "jetson"});
  machine.add_process(1, {.pid = static_cast<std::uint32_t>(getpid()), .bytes = 3 << 20});
  const GpuInventory inventory = inventory_of(machine);
  ASSERT_EQ(inventory.gpus.size(), 3u);
  EXPECT_EQ(versions_of(inventory), "driver 570.133.20, CUDA 12.8");
  const Gpu& cuttable = inventory.gpus[0];
  EXPECT_EQ(cuttable.name, "NVIDIA A100-SXM4-40GB");
  EXPECT_EQ(cuttable.nvlinks, 12u);
  ASSERT_TRUE(cuttable.mig);
  EXPECT_FALSE(cuttable.mig->current);
  ASSERT_NE(cuttable.model, nullptr);
  EXPECT_EQ(cuttable.model->profiles.size(), 7u);
  const Gpu& plain = inventory.gpus[1];
  EXPECT_FALSE(plain.mig);
  EXPECT_EQ(plain.model, nullptr);
  ASSERT_EQ(plain.processes.size(), 1u);
  EXPECT_EQ(plain.processes[0].pid, static_cast<unsigned>(getpid()));
  EXPECT_FALSE(plain.processes[0].name.empty());
  EXPECT_EQ(plain.free_bytes, plain.memory_bytes - (512ull << 20) - (3 << 20));
  EXPECT_EQ(inventory.gpus[2].bus_id, "");  // on the processor's own bus
  for (const Gpu& gpu : inventory.gpus) EXPECT_TRUE(gpu.notes.empty()) << gpu.notes[0];
}

TEST(ReadGpus, ReadsInstances) {
  SimulatedMachine machine({"h100-80"});
  machine.enable_mig();
  const Nvml nvml = machine.open();
  const auto gpu = nvml.create_gpu_instance(*nvml.device(0), 9, {4, 4});
  ASSERT_TRUE(gpu.ok());
  ASSERT_TRUE(nvml.create_compute_instance(gpu->handle, 0, std::nullopt).ok());
  ASSERT_TRUE(nvml.create_compute_instance(gpu->handle, 0, std::nullopt).ok());
  ASSERT_TRUE(nvml.create_gpu_instance(*nvml.device(0), 19, {0, 1}).ok());
  const GpuInventory inventory = inventory_of(machine);
  const auto& instances = inventory.gpus[0].instances;
  ASSERT_EQ(instances.size(), 2u);
  EXPECT_EQ(instances[0].name, "1g.10gb");
  EXPECT_TRUE(instances[0].compute.empty());
  EXPECT_FALSE(instances[0].free_bytes);
  EXPECT_EQ(instances[1].name, "3g.40gb");
  EXPECT_EQ(instances[1].free_bytes, 40448ull << 20);
  ASSERT_EQ(instances[1].compute.size(), 2u);
  EXPECT_EQ(instances[1].compute[0].name, "1c.3g.40gb");
  EXPECT_NE(instances[1].compute[0].uuid, instances[1].compute[1].uuid);
}

// What the card tells itself, the table's row, or both together lead to the same model.
TEST(ReadGpus, AsksTheCardOrTheTable) {
  for (const CardModel& card : card_models()) {
    if (!card.has_mig()) continue;
    SimulatedMachine machine({std::string(card.key)});
    machine.file().lock()->lists_profiles_when_off = false;
    const GpuInventory off = inventory_of(machine);
    EXPECT_EQ(off.gpus[0].model.get(), &card) << card.key;
    machine.enable_mig();
    const GpuInventory on = inventory_of(machine);
    const CardModel& told = *on.gpus[0].model;
    ASSERT_NE(&told, &card);
    ASSERT_EQ(told.profiles.size(), card.profiles.size());
    EXPECT_EQ(told.memory_slices, card.memory_slices);
    EXPECT_EQ(told.compute_slices, card.compute_slices);
    for (const MigProfile& profile : told.profiles) {
      const MigProfile* row = find_profile(card, profile.name);
      ASSERT_NE(row, nullptr) << profile.name;
      EXPECT_TRUE(std::ranges::equal(profile.starts, row->starts)) << profile.name;
      EXPECT_EQ(profile.memory_slices, row->memory_slices) << profile.name;
    }
  }
}

TEST(ReadGpus, WhatIsRefusedIsANote) {
  SimulatedMachine machine({"a100-40", "a100-40"});
  machine.enable_mig();
  {
    auto state = machine.file().lock();
    state->unprivileged = true;
    state->cards[1].lost = true;
  }
  const GpuInventory inventory = inventory_of(machine);
  ASSERT_EQ(inventory.gpus.size(), 1u);
  ASSERT_EQ(inventory.notes.size(), 1u);
  EXPECT_NE(inventory.notes[0].find("GPU 1: nvmlDeviceGetHandleByIndex_v2: GPU is lost"),
            std::string::npos);
  ASSERT_FALSE(inventory.gpus[0].notes.empty());
  EXPECT_NE(inventory.gpus[0].notes.back().find("mig/monitor"), std::string::npos);
  EXPECT_EQ(inventory.gpus[0].model->memory_slices, 8);  // by the table
}

std::string shown(const GpuInventory& inventory) {
  std::string text;
  for (const Gpu& gpu : inventory.gpus) {
    text += gpu.visible ? '1' : '0';
    for (const GpuInstance& instance : gpu.instances)
      for (const ComputeInstance& compute : instance.compute) text += compute.visible ? 'm' : '.';
  }
  return text;
}

TEST(VisibleDevices, BoundsWhatIsUsed) {
  SimulatedMachine machine({"a100-40", "l4", "l4"});
  machine.enable_mig();
  const Nvml nvml = machine.open();
  for (const unsigned start : {0u, 1u}) {
    const auto gpu = nvml.create_gpu_instance(*nvml.device(0), 19, {start, 1});
    ASSERT_TRUE(gpu.ok());
    ASSERT_TRUE(nvml.create_compute_instance(gpu->handle, 0, std::nullopt).ok());
  }
  const GpuInventory all = inventory_of(machine);
  EXPECT_EQ(shown(all), "1mm11");
  EXPECT_EQ(shown(inventory_of(machine, "")), "0..00");
  EXPECT_EQ(shown(inventory_of(machine, "-1")), "0..00");
  EXPECT_EQ(shown(inventory_of(machine, "2,0")), "1mm01");
  EXPECT_EQ(shown(inventory_of(machine, all.gpus[1].uuid.c_str())), "0..10");
  EXPECT_EQ(shown(inventory_of(machine, all.gpus[1].uuid.substr(0, 12).c_str())), "0..10");
  const GpuInstance& second = all.gpus[0].instances[1];
  EXPECT_EQ(shown(inventory_of(machine, second.compute[0].uuid.c_str())), "1.m00");
  const std::string old_form = "MIG-" + all.gpus[0].uuid + "/" + std::to_string(second.id) + "/0";
  EXPECT_EQ(shown(inventory_of(machine, old_form.c_str())), "1.m00");

  const GpuInventory cut_short = inventory_of(machine, "1,GPU-none,2");
  EXPECT_EQ(shown(cut_short), "0..10");
  ASSERT_EQ(cut_short.notes.size(), 2u);
  EXPECT_NE(cut_short.notes[0].find("names GPU-none, which is not here"), std::string::npos);
  EXPECT_NE(cut_short.notes[1].find("CUDA_DEVICE_ORDER"), std::string::npos);
}

}  // namespace
}  // namespace sheaf::slices
