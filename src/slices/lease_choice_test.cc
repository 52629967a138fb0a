#include "slices/lease_choice.h"

#include <gtest/gtest.h>

namespace sheaf::slices {
namespace {

LeaseGround ground_of(int cores) {
  LeaseGround ground;
  for (int i = 0; i < cores; ++i) ground.machine.cores.push_back({i, i < cores / 2 ? 0 : 1});
  ground.machine.core_quota = cores;
  return ground;
}

Gpu card(unsigned index, std::uint64_t gib, bool mig) {
  Gpu gpu;
  gpu.index = index;
  gpu.uuid = "GPU-" + std::to_string(index);
  gpu.memory_bytes = gib << 30;
  if (mig) gpu.mig = Nvml::MigMode{true, true};
  return gpu;
}

void add_slice(Gpu& gpu, const std::string& name, std::uint64_t gib) {
  const auto id = static_cast<unsigned>(gpu.instances.size() + 1);
  GpuInstance instance{.id = id, .start = id, .name = name, .memory_bytes = gib << 30};
  instance.compute.push_back({.name = name, .uuid = "MIG-" + std::to_string(id)});
  gpu.instances.push_back(instance);
}

Lease lease_of(const LeasedSlice& slice) {
  return {.id = "lease-1", .task_id = "t", .slice = slice, .ends_ms = boot_ms() + 60'000};
}

// What is chosen, or why not.
std::string choice(const LeaseNeed& need, const LeaseGround& ground, const LeaseTable& table = {}) {
  const auto whole = checked(need);
  if (!whole.ok()) return whole.error().message;
  const auto chosen = choose_slice(*whole, ground, table, table.waiting.size());
  if (!chosen.ok()) return chosen.error().message;
  return chosen->slice ? chosen->slice->id : "none: " + chosen->why_none;
}

TEST(LeaseNeed, ContradictionsAreNamed) {
  const LeaseGround ground = ground_of(2);
  EXPECT_EQ(choice({}, ground),
            "say which slice, or what it must be: kind, profile, memory or cores");
  EXPECT_EQ(choice({.slice = "0", .cores = 2}, ground),
            "0 is a slice by name; then no kind, profile, memory or number of cores is asked for");
  EXPECT_EQ(choice({.kind = "gpu", .cores = 2}, ground),
            "a slice of kind gpu has no number of cores");
  EXPECT_EQ(choice({.kind = "tpu"}, ground), "there is no kind tpu; there are cores, gpu and mig");
  EXPECT_EQ(choice({.kind = "gpu", .profile = "1g.5gb"}, ground),
            "a whole card has no profile 1g.5gb; kind mig has");
  EXPECT_EQ(choice({.memory_bytes = 1, .cores = 1}, ground),
            "cores have neither memory nor a profile of their own");
}

TEST(LeaseChoice, CoresOfOneMemoryDomainWhereOneHasEnough) {
  const LeaseGround ground = ground_of(8);
  EXPECT_EQ(choice({.cores = 3}, ground), "cores:0-2");
  LeaseTable table;
  table.leases.push_back(lease_of({.kind = "cores", .id = "cores:1-3", .cpus = {1, 2, 3}}));
  EXPECT_EQ(choice({.cores = 2}, ground, table), "cores:4-5");
  EXPECT_EQ(choice({.cores = 1}, ground, table), "cores:0");  // the fullest that suffices
  EXPECT_EQ(choice({.cores = 5}, ground, table), "cores:0,4-7");
  EXPECT_EQ(choice({.cores = 6}, ground, table), "none: fewer than 6 of the 8 cores are free");
  EXPECT_EQ(choice({.cores = 9}, ground, table), "9 cores are wanted, and 8 may be used here");
}

TEST(LeaseChoice, CoresByName) {
  const LeaseGround ground = ground_of(4);
  EXPECT_EQ(choice({.slice = "cores:2,0-1"}, ground), "cores:0-2");
  EXPECT_EQ(choice({.slice = "cores:3-4"}, ground),
            "core 4 of cores:3-4 is none that may be used here; there are cores:0-3");
  EXPECT_EQ(choice({.slice = "cores:1,,2"}, ground), "'1,,2' is no list of cores such as 0-2,5");
  LeaseTable table;
  table.leases.push_back(lease_of({"cores", "cores:2", "cores:2", {2}, "", 0}));
  EXPECT_EQ(choice({.slice = "cores:0-1"}, ground, table), "cores:0-1");
  EXPECT_EQ(choice({.slice = "cores:1-2"}, ground, table).substr(0, 38),
            "none: cores:2 is leased to task t (lea");
}

TEST(LeaseChoice, TheSmallestThatSuffices) {
  LeaseGround ground = ground_of(2);
  ground.gpus = {card(0, 40, true), card(1, 80, false), card(2, 24, false)};
  add_slice(ground.gpus[0], "3g.20gb", 20);
  add_slice(ground.gpus[0], "1g.5gb", 5);
  add_slice(ground.gpus[0], "1g.5gb+me", 5);
  EXPECT_EQ(choice({.memory_bytes = 4ull << 30}, ground), "MIG-2");
  EXPECT_EQ(choice({.memory_bytes = 6ull << 30}, ground), "MIG-1");
  EXPECT_EQ(choice({.memory_bytes = 21ull << 30}, ground), "GPU-2");
  EXPECT_EQ(choice({.kind = "gpu"}, ground), "GPU-2");
  EXPECT_EQ(choice({.profile = "1g.5gb.me"}, ground), "MIG-3");
  EXPECT_EQ(
      choice({.kind = "mig", .memory_bytes = 21ull << 30}, ground),
      "this machine has nothing like a MIG slice of 21.0 GiB or more, free or not; it has 1 × "
      "1g.5gb, 1 × 1g.5gb+me, 1 × 3g.20gb, 2 × whole card");
  // By need what is in use already is not free; by name it is.
  ground.gpus[2].processes.push_back({.pid = 1});
  ground.gpus[0].processes.push_back({.pid = 1, .gpu_instance = 2, .compute_instance = 0});
  EXPECT_EQ(choice({.kind = "gpu"}, ground), "GPU-1");
  EXPECT_EQ(choice({.profile = "1g.5gb"}, ground), "none: something runs on mig:0/2 (1g.5gb)");
  EXPECT_EQ(choice({.slice = "0:1"}, ground), "MIG-2");
  EXPECT_EQ(choice({.slice = "2"}, ground), "GPU-2");
}

TEST(LeaseChoice, NamesOfCardsAndSlices) {
  LeaseGround ground = ground_of(2);
  ground.gpus = {card(0, 40, true), card(1, 80, false)};
  add_slice(ground.gpus[0], "3g.20gb", 20);
  ground.gpus[0].instances[0].compute.push_back({.id = 1, .name = "1c.3g.20gb", .uuid = "MIG-b"});
  EXPECT_EQ(choice({.slice = "0/1/1"}, ground), "MIG-b");
  EXPECT_EQ(choice({.slice = "0:0"}, ground), "MIG-1");
  EXPECT_EQ(choice({.slice = "mig:0/1/1"}, ground), "MIG-b");
  EXPECT_EQ(choice({.slice = "gpu:1"}, ground), "GPU-1");
  EXPECT_EQ(choice({.slice = "0/1"}, ground),
            "no card and no MIG slice is 0/1; `sheaf slices` shows them");
  EXPECT_EQ(
      choice({.slice = "0"}, ground),
      "GPU 0 is in MIG mode and cannot be used as a whole; its slices are mig:0/1/0, mig:0/1/1");
  ground.gpus[1].visible = false;
  EXPECT_EQ(choice({.slice = "1"}, ground), "1 is outside CUDA_VISIBLE_DEVICES");
}

TEST(LeaseChoice, ACardAndItsSlicesAreNotGivenToTwo) {
  const LeasedSlice whole{.kind = "gpu", .id = "GPU-0", .gpu_uuid = "GPU-0"};
  const LeasedSlice part{.kind = "mig", .id = "MIG-1", .gpu_uuid = "GPU-0"};
  const LeasedSlice other{.kind = "mig", .id = "MIG-2", .gpu_uuid = "GPU-0"};
  const LeasedSlice elsewhere{.kind = "gpu", .id = "GPU-1", .gpu_uuid = "GPU-1"};
  EXPECT_TRUE(overlap(whole, part));
  EXPECT_TRUE(overlap(part, whole));
  EXPECT_TRUE(overlap(part, part));
  EXPECT_FALSE(overlap(part, other));
  EXPECT_FALSE(overlap(whole, elsewhere));
  EXPECT_FALSE(overlap(whole, {.kind = "cores", .cpus = {0}}));
}

TEST(LeaseChoice, WhoCameEarlierGoesFirst) {
  LeaseGround ground = ground_of(4);
  ground.gpus = {card(0, 40, false), card(1, 80, false)};
  LeaseTable table;
  table.leases.push_back(lease_of({"cores", "cores:0-2", "cores:0-2", {0, 1, 2}, "", 0}));
  table.waiting.push_back({.id = "a", .need = *checked({.cores = 2})});
  table.waiting.push_back({.id = "b", .need = *checked({.memory_bytes = 50ull << 30})});
  EXPECT_EQ(choice({.cores = 1}, ground, table),
            "none: fewer than 1 of the 4 cores are free, or others wait for them");
  EXPECT_EQ(choice({.kind = "gpu"}, ground, table), "GPU-0");  // too small for whom waits
  EXPECT_EQ(choice({.slice = "1"}, ground, table), "none: others wait for GPU 1 already");
  // The first of them is held up by nobody.
  EXPECT_TRUE(choose_slice(*checked({.cores = 1}), ground, table, 0)->slice);
}

}  // namespace
}  // namespace sheaf::slices
