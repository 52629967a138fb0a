#include "slices/placement.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "slices/replacement.h"

namespace sheaf::slices {
namespace {

constexpr std::uint64_t kGiB = 1ull << 30;

Machine machine_of_cores(int count) {
  Machine machine;
  for (int i = 0; i < count; ++i) machine.cores.push_back({i, i < count / 2 ? 0 : 1});
  machine.core_quota = count;
  machine.numa_nodes = 2;
  return machine;
}

Gpu card(unsigned index, std::uint64_t gib) {
  Gpu gpu{.index = index, .name = "NVIDIA Test", .uuid = "GPU-" + std::to_string(index)};
  gpu.numa_node = static_cast<int>(index % 2);
  gpu.memory_bytes = gpu.free_bytes = gib * kGiB;
  return gpu;
}

// Cut into GPU instances of these sizes, with ids from 3 on.
Gpu cut_card(unsigned index, const std::vector<std::uint64_t>& gib) {
  Gpu gpu = card(index, 80);
  gpu.mig = Nvml::MigMode{true, true};
  for (std::size_t i = 0; i < gib.size(); ++i) {
    GpuInstance instance{.id = static_cast<unsigned>(i) + 3,
                         .start = static_cast<unsigned>(i),
                         .name = std::to_string(gib[i]) + "g"};
    instance.memory_bytes = gib[i] * kGiB;
    instance.free_bytes = instance.memory_bytes;
    instance.compute.push_back(
        {.name = instance.name, .uuid = "MIG-" + std::to_string(index) + "-" + std::to_string(i)});
    gpu.instances.push_back(instance);
  }
  return gpu;
}

GpuInventory inventory_of_cards(std::vector<Gpu> gpus) {
  GpuInventory inventory;
  inventory.gpus = std::move(gpus);
  return inventory;
}

GpuInventory cards(unsigned count, std::uint64_t gib = 10) {
  std::vector<Gpu> gpus;
  for (unsigned i = 0; i < count; ++i) gpus.push_back(card(i, gib));
  return inventory_of_cards(std::move(gpus));
}

Wish on_cards(std::uint32_t replicas, std::uint64_t bytes = kGiB,
              std::vector<std::string> slices = {}) {
  return {.model = "m",
          .on_cards = true,
          .replicas = replicas,
          .slices = std::move(slices),
          .replica_bytes = bytes};
}

PlacementRules rules_of(Assignment assignment, std::uint32_t num_gpus = 0) {
  return {.num_gpus = num_gpus,
          .assignment = assignment,
          .memory_utilization = 0.9,
          .machine = "here",
          .slices_folder = "/run/x"};
}

const PlacementRules kAuto = rules_of(Assignment::automatic);

using Names = std::vector<std::string>;

// The slices' names; "!" and the error, or "?" and the misfit, where there is no placement.
Names names_for(const GpuInventory& gpus, const std::vector<Wish>& wishes,
                const PlacementRules& rules) {
  const auto placed = place(machine_of_cores(8), gpus, wishes, rules);
  if (!placed.ok()) return {"!" + placed.error().message};
  if (const auto* misfit = std::get_if<Misfit>(&*placed))
    return {"?" + misfit->text(wishes[misfit->wish])};
  Names names;
  for (const PlacedReplica& replica : std::get<Placement>(*placed).replicas)
    names.push_back(replica.slice.name);
  return names;
}

Placement placed(const GpuInventory& gpus, const std::vector<Wish>& wishes,
                 const PlacementRules& rules) {
  auto result = place(machine_of_cores(8), gpus, wishes, rules);
  EXPECT_TRUE(result.ok()) << result.error().message;
  EXPECT_TRUE(std::holds_alternative<Placement>(*result));
  return std::get<Placement>(std::move(*result));
}

// Of models whose replicas take so many cards each.
Wish on_ranks(std::uint32_t ranks, std::uint32_t replicas, std::vector<std::string> slices = {}) {
  Wish wish = on_cards(replicas, kGiB, std::move(slices));
  wish.processes = ranks;
  return wish;
}

// Of one whose stages take as many cards or MIG slices.
Wish in_stages(std::uint32_t stages, std::uint32_t replicas, std::vector<std::string> slices = {},
               std::uint64_t bytes = kGiB) {
  Wish wish = on_cards(replicas, bytes, std::move(slices));
  wish.processes = stages;
  wish.division = Division::stages;
  return wish;
}

// ---- fewer, as many and more replicas than cards

TEST(Place, AutoIsDedicatedWhileCardsSuffice) {
  EXPECT_EQ(names_for(cards(3), {on_cards(2)}, kAuto), (Names{"gpu:0", "gpu:1"}));
  EXPECT_EQ(names_for(cards(3), {on_cards(3)}, kAuto), (Names{"gpu:0", "gpu:1", "gpu:2"}));
  EXPECT_EQ(names_for(cards(2), {on_cards(3)}, kAuto), (Names{"time:0#0", "gpu:1", "time:0#1"}));
}

TEST(Place, ReplicasDefaultToOneASlice) {
  EXPECT_EQ(names_for(cards(3), {on_cards(0)}, kAuto), (Names{"gpu:0", "gpu:1", "gpu:2"}));
  EXPECT_EQ(
      names_for(inventory_of_cards({card(0, 10), cut_card(1, {10, 10})}), {on_cards(0)}, kAuto),
      (Names{"gpu:0", "mig:1/3", "mig:1/4"}));
  // Only where one fits.
  EXPECT_EQ(
      names_for(inventory_of_cards({cut_card(0, {40, 10, 5})}), {on_cards(0, 8 * kGiB)}, kAuto),
      (Names{"mig:0/3", "mig:0/4"}));
  // Two models divide what there is.
  EXPECT_EQ(names_for(cards(5), {on_cards(0), on_cards(0)}, kAuto),
            (Names{"gpu:0", "gpu:2", "gpu:4", "gpu:1", "gpu:3"}));
  EXPECT_EQ(names_for(cards(1), {on_cards(0), on_cards(0)}, kAuto),
            (Names{"time:0#0", "time:0#1"}));
}

TEST(Place, DedicatedWithMoreReplicasThanCardsNamesShared) {
  EXPECT_EQ(
      names_for(cards(2), {on_cards(3)}, rules_of(Assignment::dedicated)),
      Names{"!--gpu-assignment dedicated: 3 replicas want a card or MIG slice each, and 2 are "
            "free; --gpu-assignment shared lets several share one"});
  EXPECT_EQ(names_for(cards(2), {on_cards(2)}, rules_of(Assignment::dedicated)),
            (Names{"gpu:0", "gpu:1"}));
}

TEST(Place, SharedIsEvenAndSharesMemoryEvenly) {
  const Placement five = placed(cards(2), {on_cards(5)}, rules_of(Assignment::shared));
  std::map<std::string, int> crowd;
  for (const PlacedReplica& replica : five.replicas) {
    ++crowd[replica.slice.uuid];
    EXPECT_EQ(replica.slice.kind, SliceKind::time);
    const auto usable = static_cast<std::uint64_t>(0.9 * 10 * kGiB);
    EXPECT_EQ(replica.slice.memory_bytes, usable / replica.slice.shares);
  }
  EXPECT_EQ(crowd, (std::map<std::string, int>{{"GPU-0", 3}, {"GPU-1", 2}}));
  EXPECT_EQ(names_for(cards(2), {on_cards(1)}, rules_of(Assignment::shared)), Names{"gpu:0"});
}

TEST(Place, MpsSaysSoInTheEnvironment) {
  const Placement two = placed(cards(1), {on_cards(2)}, rules_of(Assignment::mps));
  const Slice& second = two.replicas[1].slice;
  EXPECT_EQ(second.name, "mps:0#1");
  EXPECT_EQ(
      second.environment,
      (Names{"SHEAF_DEVICE_MEMORY_BYTES=4831838208",
             "CUDA_MPS_PIPE_DIRECTORY=/run/x/mps/GPU-0/pipe", "CUDA_VISIBLE_DEVICES=GPU-0",
             "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE=50", "CUDA_MPS_PINNED_DEVICE_MEM_LIMIT=0=4608M"}));
  // One alone is a client too: the card may be the daemon's.
  EXPECT_EQ(placed(cards(2), {on_cards(1)}, rules_of(Assignment::mps)).replicas[0].slice.kind,
            SliceKind::mps);
  EXPECT_EQ(
      names_for(cards(1, 1000), {on_cards(49)}, rules_of(Assignment::mps)),
      Names{"!--gpu-assignment mps: 49 replicas on one card or MIG slice, and MPS serves 48"});
}

TEST(Place, MigTakesMigSlicesAlone) {
  const auto gpus = inventory_of_cards({card(0, 80), cut_card(1, {10, 10})});
  const PlacementRules mig = rules_of(Assignment::mig);
  EXPECT_EQ(names_for(gpus, {on_cards(0)}, mig), (Names{"mig:1/3", "mig:1/4"}));
  EXPECT_EQ(names_for(gpus, {on_cards(3)}, mig),
            Names{"!--gpu-assignment mig: 3 replicas want a MIG slice each, and 2 are free; "
                  "--gpu-assignment shared lets several share one"});
  EXPECT_EQ(
      names_for(cards(2), {on_cards(1)}, mig),
      Names{"!--gpu-assignment mig: no card here is cut; `sheaf slices mig enable` and `sheaf "
            "slices mig create` cut one"});
  EXPECT_EQ(names_for(gpus, {on_cards(1, kGiB, {"gpu:0"})}, mig),
            Names{"!model m: gpu:0 is no MIG slice, as --gpu-assignment mig wants"});
}

// ---- lists

TEST(Place, ListsAreFilledInTheirOrder) {
  const GpuInventory three = cards(3);
  EXPECT_EQ(names_for(three, {on_cards(1, kGiB, {"2", "0"})}, kAuto), Names{"gpu:2"});
  EXPECT_EQ(names_for(three, {on_cards(0, kGiB, {"GPU-2", "gpu:0"})}, kAuto),
            (Names{"gpu:2", "gpu:0"}));
  EXPECT_EQ(names_for(three, {on_cards(3, kGiB, {"2", "0"})}, kAuto),
            (Names{"time:2#0", "gpu:0", "time:2#1"}));
  EXPECT_EQ(names_for(three, {on_cards(3, kGiB, {"2", "0"})}, rules_of(Assignment::dedicated)),
            Names{"!--gpu-assignment dedicated: 2 replicas are to run on gpu:2; --gpu-assignment "
                  "shared lets them share it"});
}

TEST(Place, ListsNameMigSlicesByNameUuidAndCard) {
  const auto gpus = inventory_of_cards({cut_card(0, {10, 10}), card(1, 80)});
  EXPECT_EQ(names_for(gpus, {on_cards(0, kGiB, {"mig:0/4"})}, kAuto), Names{"mig:0/4"});
  EXPECT_EQ(names_for(gpus, {on_cards(0, kGiB, {"MIG-0-0"})}, kAuto), Names{"mig:0/3"});
  EXPECT_EQ(names_for(gpus, {on_cards(0, kGiB, {"gpu:0"})}, kAuto), (Names{"mig:0/3", "mig:0/4"}));
  EXPECT_EQ(
      names_for(gpus, {on_cards(0, kGiB, {"mig:0/9"})}, kAuto),
      Names{"!model m: no card and no MIG slice is mig:0/9; there are mig:0/3, mig:0/4, gpu:1; "
            "`sheaf slices` shows them"});
  EXPECT_EQ(names_for(gpus, {on_cards(0, kGiB, {"time:0#1"})}, kAuto)[0].substr(0, 29),
            "!model m: time:0#1 is a share");
}

TEST(Place, ComputeInstancesOfOneInstanceShareItsMemory) {
  Gpu gpu = cut_card(0, {20});
  gpu.instances[0].compute = {{.id = 0, .name = "1c.20g", .uuid = "MIG-a"},
                              {.id = 1, .name = "1c.20g", .uuid = "MIG-b"}};
  const auto gpus = inventory_of_cards({gpu});
  const Placement both = placed(gpus, {on_cards(0, 8 * kGiB)}, kAuto);
  ASSERT_EQ(both.replicas.size(), 2u);
  EXPECT_EQ(both.replicas[1].slice.name, "mig:0/3/1");
  EXPECT_EQ(both.replicas[1].slice.memory_bytes, static_cast<std::uint64_t>(0.9 * 10 * kGiB));
  EXPECT_EQ(names_for(gpus, {on_cards(0, kGiB, {"mig:0/3"})}, kAuto),
            (Names{"mig:0/3/0", "mig:0/3/1"}));
}

TEST(Place, WhatAListNamesIsLeftToIt) {
  EXPECT_EQ(names_for(cards(3), {on_cards(0), on_cards(0, kGiB, {"0"})}, kAuto),
            (Names{"gpu:1", "gpu:2", "gpu:0"}));
  EXPECT_EQ(names_for(cards(1), {on_cards(1), on_cards(0, kGiB, {"0"})}, kAuto),
            (Names{"time:0#0", "time:0#1"}));
}

TEST(Place, OnlyThisMachineIsServed) {
  EXPECT_EQ(names_for(cards(2), {on_cards(0, kGiB, {"gpu:1@here"})}, kAuto), Names{"gpu:1"});
  EXPECT_EQ(names_for(cards(2), {on_cards(0, kGiB, {"gpu:1@node7"})}, kAuto),
            Names{"!slice gpu:1@node7 is on machine node7, and only slices of this one, here, are "
                  "served"});
  EXPECT_EQ(placed(cards(1), {on_cards(1)}, kAuto).machine, "here");
}

// ---- bounds

TEST(Place, NumGpusBoundsTheCards) {
  EXPECT_EQ(names_for(cards(4), {on_cards(0)}, rules_of(Assignment::automatic, 2)),
            (Names{"gpu:0", "gpu:1"}));
  EXPECT_EQ(names_for(cards(4), {on_cards(2)}, rules_of(Assignment::automatic, 1)),
            (Names{"time:0#0", "time:0#1"}));
  EXPECT_EQ(names_for(cards(2), {on_cards(1)}, rules_of(Assignment::automatic, 3)),
            Names{"!--num-gpus 3: there are 2 cards here"});
  const auto gpus = inventory_of_cards({cut_card(0, {10, 10}), card(1, 80)});
  EXPECT_EQ(names_for(gpus, {on_cards(0)}, rules_of(Assignment::automatic, 1)),
            (Names{"mig:0/3", "mig:0/4"}));
}

TEST(Place, VisibleDevicesBoundEverything) {
  GpuInventory gpus = inventory_of_cards({card(0, 10), card(1, 10), cut_card(2, {10, 10})});
  mark_visible(gpus, "GPU-1,MIG-2-1");
  EXPECT_EQ(names_for(gpus, {on_cards(0)}, kAuto), (Names{"gpu:1", "mig:2/4"}));
  EXPECT_EQ(names_for(gpus, {on_cards(0, kGiB, {"gpu:0"})}, kAuto)[0].substr(0, 46),
            "!model m: no card and no MIG slice is gpu:0; t");
  mark_visible(gpus, "");
  EXPECT_EQ(names_for(gpus, {on_cards(0)}, kAuto), Names{"!no slice to serve on: no card is here"});
}

TEST(Place, ACardThatIsNotCutIsNoPlace) {
  EXPECT_EQ(
      names_for(inventory_of_cards({cut_card(0, {})}), {on_cards(0)}, kAuto),
      Names{"!no slice to serve on: GPU 0 is in MIG mode and not cut; `sheaf slices mig create "
            "--gpu 0` cuts it"});
}

// ---- memory

TEST(Place, WhatDoesNotFitIsNamedWithItsBytes) {
  EXPECT_EQ(
      names_for(cards(2), {on_cards(1, 12 * kGiB)}, kAuto),
      Names{"?model m does not fit gpu:0 (NVIDIA Test): a replica needs 12.0 GiB, and 9.0 GiB "
            "may be used there"});
  EXPECT_EQ(
      names_for(cards(1), {on_cards(3, 4 * kGiB)}, kAuto),
      Names{"?model m does not fit one of 3 shares of gpu:0 (NVIDIA Test): a replica needs 4.0 "
            "GiB, and 3.0 GiB may be used there"});
  const auto small = inventory_of_cards({cut_card(0, {40, 5})});
  EXPECT_EQ(names_for(small, {on_cards(2, 8 * kGiB)}, rules_of(Assignment::dedicated)),
            Names{"?model m does not fit mig:0/4 (5g): a replica needs 8.0 GiB, and 4.5 GiB may be "
                  "used there"});
  EXPECT_EQ(names_for(small, {on_cards(2, 8 * kGiB)}, kAuto), (Names{"time:0/3#0", "time:0/3#1"}));
  EXPECT_EQ(names_for(small, {on_cards(1, 8 * kGiB, {"mig:0/4"})}, kAuto)[0].substr(0, 33),
            "?model m does not fit mig:0/4 (5g");
}

TEST(Place, MemoryThatOthersHoldIsNotThere) {
  GpuInventory gpus = cards(1);
  gpus.gpus[0].free_bytes = 3 * kGiB;
  EXPECT_EQ(names_for(gpus, {on_cards(1, 4 * kGiB)}, kAuto),
            Names{"?model m does not fit gpu:0 (NVIDIA Test): a replica needs 4.0 GiB, and 3.0 GiB "
                  "may be used there"});
}

TEST(Place, LargeModelsGetTheLargeSlices) {
  const auto gpus = inventory_of_cards({cut_card(0, {5, 40, 10})});
  EXPECT_EQ(names_for(gpus, {on_cards(1), on_cards(1, 30 * kGiB), on_cards(1, 8 * kGiB)}, kAuto),
            (Names{"mig:0/3", "mig:0/4", "mig:0/5"}));
}

// ---- hosts

TEST(Place, ThreadsRunNearTheCard) {
  const Placement three = placed(cards(3), {on_cards(3)}, kAuto);
  EXPECT_EQ(three.replicas[0].slice.cpus, (std::vector<int>{0, 1, 2, 3}));
  EXPECT_EQ(three.replicas[1].slice.cpus, (std::vector<int>{4, 5, 6, 7}));
  EXPECT_EQ(three.replicas[1].slice.numa_node, 1);
  EXPECT_EQ(three.replicas[0].slice.threads, 2);  // gpu:0 and gpu:2 divide four cores
  EXPECT_EQ(three.replicas[1].slice.threads, 4);
  GpuInventory unknown = cards(1);
  unknown.gpus[0].numa_node = -1;
  EXPECT_EQ(placed(unknown, {on_cards(1)}, kAuto).replicas[0].slice.cpus.size(), 8u);
}

TEST(Place, CoresAreCutAsBefore) {
  const Wish two{.model = "a", .replicas = 2}, one{.model = "b", .replicas = 1};
  EXPECT_EQ(names_for({}, {two, one}, kAuto), (Names{"cores:0-1", "cores:2-4", "cores:5-7"}));
  EXPECT_EQ(names_for({}, {Wish{.model = "a"}}, kAuto), (Names{"cores:0-3", "cores:4-7"}));
  EXPECT_EQ(names_for({}, {Wish{.model = "a", .processes = 8}}, kAuto), Names{"cores:0-7"})
      << "not more replicas than find a core for each rank";
  EXPECT_EQ(names_for({}, {Wish{.model = "a", .replicas = 4, .processes = 3}}, kAuto),
            Names{"!model a: --tensor-parallel-size 3: each process of a replica takes a core, and "
                  "replica 0 of 4 has 2 (cores:0-1); fewer replicas, or fewer processes of each, "
                  "would fit"});
  const Wish listed{.model = "c", .replicas = 3, .slices = {"cores:0-1", "cores:6"}};
  EXPECT_EQ(names_for({}, {listed, one}, kAuto),
            (Names{"cores:0", "cores:6", "cores:1", "cores:2-5,7"}));
  EXPECT_EQ(names_for({}, {Wish{.model = "c", .slices = {"cores:0-8"}}}, kAuto),
            Names{"!model c: cores:0-8: core 8 is not here, or may not be used"});
  EXPECT_EQ(names_for({}, {Wish{.model = "c", .slices = {"cores:x"}}}, kAuto),
            Names{"!model c: cores:x: 'x' is no list of cores such as 0-2,5"});
  EXPECT_EQ(names_for(cards(1), {two, on_cards(1)}, kAuto),
            (Names{"cores:0-3", "cores:4-7", "gpu:0"}));
}

// ---- generated problems

// No slice twice, no device over-committed, every wish has its replicas, and where all devices and
// models are alike the devices' replicas differ by one at most.
void expect_sound(const GpuInventory& gpus, const std::vector<Wish>& wishes,
                  const PlacementRules& rules, const Placement& placement) {
  std::set<std::string> names;
  std::map<std::string, std::uint64_t> used, crowd;
  std::vector<std::uint32_t> count(wishes.size(), 0);
  for (const PlacedReplica& replica : placement.replicas) {
    EXPECT_EQ(replica.slices().size(), wishes[replica.wish].processes);
    for (const Slice& slice : replica.slices()) {
      EXPECT_TRUE(names.insert(slice.name).second) << slice.name;
      EXPECT_LE(replica.needed_bytes, slice.memory_bytes);
      used[slice.uuid] += slice.memory_bytes;
      ++crowd[slice.uuid];
      const bool may_be_mig = wishes[replica.wish].division == Division::stages;
      EXPECT_TRUE(replica.cards.empty() || slice.kind == SliceKind::gpu ||
                  (may_be_mig && slice.kind == SliceKind::mig))
          << slice.name;
    }
    ++count[replica.wish];
  }
  for (std::size_t i = 0; i < wishes.size(); ++i) {
    EXPECT_GE(count[i], 1u);
    if (wishes[i].replicas > 0) {
      EXPECT_EQ(count[i], wishes[i].replicas);
    }
  }
  for (const Device& device : devices_of(gpus))
    EXPECT_LE(static_cast<double>(used[device.uuid]),
              static_cast<double>(device.memory_bytes) * rules.memory_utilization + 1);
  for (const PlacedReplica& replica : placement.replicas)
    for (const Slice& slice : replica.slices()) EXPECT_EQ(slice.shares, crowd[slice.uuid]);
}

// Of generated problems, each of which has to be sound.
struct Outcomes {
  int placements = 0, misfits = 0, errors = 0;

  void place(const GpuInventory& inventory, const std::vector<Wish>& wishes,
             const PlacementRules& rules) {
    const auto result = slices::place(machine_of_cores(8), inventory, wishes, rules);
    if (!result.ok()) {
      ++errors;
    } else if (const auto* misfit = std::get_if<Misfit>(&*result)) {
      ++misfits;
      EXPECT_GT(misfit->needed_bytes, misfit->allowed_bytes);
    } else {
      ++placements;
      expect_sound(inventory, wishes, rules, std::get<Placement>(*result));
    }
  }
};

TEST(Place, GeneratedProblemsAreSound) {
  std::mt19937 random(11);
  const auto below = [&](unsigned limit) { return static_cast<unsigned>(random() % limit); };
  Outcomes outcomes;
  for (int i = 0; i < 3'000; ++i) {
    std::vector<Gpu> gpus;
    for (unsigned index = 0; index < 1 + below(4); ++index) {
      std::vector<std::uint64_t> parts(below(5));
      for (std::uint64_t& part : parts) part = 5u << below(4);
      gpus.push_back(parts.empty() ? card(index, 80) : cut_card(index, parts));
    }
    const GpuInventory inventory = inventory_of_cards(gpus);
    std::vector<Wish> wishes;
    for (unsigned model = 0; model < 1 + below(3); ++model) {
      Wish wish = on_cards(below(7), (1 + below(30)) * kGiB);
      if (below(4) == 0) wish.slices = {std::to_string(below(static_cast<unsigned>(gpus.size())))};
      wishes.push_back(wish);
    }
    const auto rules =
        rules_of(static_cast<Assignment>(below(6)), below(static_cast<unsigned>(gpus.size()) + 1));
    outcomes.place(inventory, wishes, rules);
  }
  EXPECT_GT(outcomes.placements, 500);
  EXPECT_GT(outcomes.misfits, 200);
  EXPECT_GT(outcomes.errors, 100);
}

// ---- replacement

std::string replacement(const std::vector<Device>& devices, const PlacedReplica& lost,
                        const std::vector<Slice>& taken, const PlacementRules& rules = kAuto) {
  const auto found = find_replacement(machine_of_cores(8), devices, lost, taken, rules);
  return found ? found->slice.name : "none";
}

std::vector<Slice> slices_but(const Placement& placement, std::size_t lost) {
  std::vector<Slice> taken;
  for (std::size_t i = 0; i < placement.replicas.size(); ++i)
    if (i != lost) taken.push_back(placement.replicas[i].slice);
  return taken;
}

std::vector<Device> without(std::vector<Device> devices, const std::string& uuid) {
  std::erase_if(devices, [&](const Device& device) { return device.uuid == uuid; });
  return devices;
}

TEST(FindReplacement, TakesTheSmallestFreeSliceOfTheKind) {
  const auto gpus = inventory_of_cards({card(0, 80), cut_card(1, {10, 40, 20, 5})});
  const Placement placement = placed(gpus, {on_cards(0, 8 * kGiB, {"mig:1/3"})}, kAuto);
  PlacedReplica lost = placement.replicas[0];
  lost.allowed.clear();
  const auto devices = without(devices_of(gpus), lost.slice.uuid);
  EXPECT_EQ(replacement(devices, lost, {}), "mig:1/5");
  Slice other;
  other.uuid = "MIG-1-2";
  EXPECT_EQ(replacement(devices, lost, {other}), "mig:1/4");
  EXPECT_EQ(replacement(devices_of(gpus), lost, {}), "mig:1/3") << "its own is back";
  lost.needed_bytes = 50 * kGiB;
  EXPECT_EQ(replacement(devices, lost, {}), "none") << "a whole card is another kind";
}

TEST(FindReplacement, StaysWithinListAndCards) {
  const GpuInventory four = cards(4);
  const Placement listed = placed(four, {on_cards(1, kGiB, {"0", "2"})}, kAuto);
  const auto devices = without(devices_of(four), "GPU-0");
  EXPECT_EQ(replacement(devices, listed.replicas[0], {}), "gpu:2");
  EXPECT_EQ(replacement(without(devices, "GPU-2"), listed.replicas[0], {}), "none");

  const PlacementRules two = rules_of(Assignment::automatic, 2);
  const Placement bound = placed(four, {on_cards(2)}, two);
  EXPECT_EQ(replacement(devices, bound.replicas[0], slices_but(bound, 0), two), "gpu:2");
  std::vector<Slice> crowded = slices_but(bound, 0);
  crowded.push_back(placed(four, {on_cards(1, kGiB, {"3"})}, kAuto).replicas[0].slice);
  EXPECT_EQ(replacement(devices, bound.replicas[0], crowded, two), "none");
}

TEST(FindReplacement, SharesMoveTogether) {
  const GpuInventory three = cards(3);
  const Placement two = placed(three, {on_cards(2, kGiB, {"0"}), on_cards(1, kGiB, {"1"})}, kAuto);
  PlacedReplica first = two.replicas[0], second = two.replicas[1];
  first.allowed.clear();
  second.allowed.clear();
  const auto devices = without(devices_of(three), "GPU-0");
  const Slice other = two.replicas[2].slice;
  const auto moved =
      find_replacement(machine_of_cores(8), devices, first, std::vector{other}, kAuto);
  ASSERT_TRUE(moved);
  EXPECT_EQ(moved->slice.name, "time:2#0");
  EXPECT_EQ(moved->slice.memory_bytes, first.slice.memory_bytes);
  EXPECT_EQ(replacement(devices, second, {other, moved->slice}), "time:2#1");
  EXPECT_EQ(replacement(devices, first, {other, moved->slice}), "none") << "its share is taken";
}

TEST(FindReplacement, RanksKeepTheCardsThatAreThere) {
  const GpuInventory four = cards(4);
  const Placement group = placed(four, {on_ranks(3, 1)}, kAuto);
  const PlacedReplica& lost = group.replicas[0];
  EXPECT_EQ(lost.slice.name, "gpu:0,gpu:1,gpu:2");
  const auto devices = without(devices_of(four), "GPU-0");
  EXPECT_EQ(replacement(devices, lost, {}), "gpu:3,gpu:1,gpu:2");
  EXPECT_EQ(replacement(devices_of(four), lost, {}), lost.slice.name);
  Slice other;
  other.uuid = "GPU-3";
  EXPECT_EQ(replacement(devices, lost, {other}), "none");
}

// ---- ranks on cards

TEST(PlaceRanks, EachHasACardToItself) {
  EXPECT_EQ(names_for(cards(4), {on_ranks(2, 1)}, kAuto), Names{"gpu:0,gpu:1"});
  EXPECT_EQ(names_for(cards(5), {on_ranks(2, 0)}, rules_of(Assignment::dedicated)),
            (Names{"gpu:0,gpu:1", "gpu:2,gpu:3"}));
  EXPECT_EQ(names_for(cards(4), {on_ranks(2, 1, {"3", "1", "0"})}, kAuto), Names{"gpu:3,gpu:1"});
  // Others have what is left, and share that.
  EXPECT_EQ(names_for(cards(4), {on_cards(0), on_ranks(2, 0)}, kAuto),
            (Names{"gpu:2", "gpu:3", "gpu:0,gpu:1"}));
  EXPECT_EQ(names_for(cards(5), {on_ranks(2, 0), on_ranks(3, 0)}, kAuto),
            (Names{"gpu:0,gpu:1", "gpu:2,gpu:3,gpu:4"}));
  EXPECT_EQ(names_for(cards(3), {on_cards(2), on_ranks(2, 1)}, kAuto),
            (Names{"time:2#0", "time:2#1", "gpu:0,gpu:1"}));

  const Placement two = placed(cards(2), {on_ranks(2, 1)}, kAuto);
  const PlacedReplica& replica = two.replicas[0];
  ASSERT_EQ(replica.slices().size(), 2u);
  for (const Slice& card : replica.slices()) {
    EXPECT_EQ(card.kind, SliceKind::gpu);
    EXPECT_EQ(card.shares, 1u);
    EXPECT_EQ(card.memory_bytes, static_cast<std::uint64_t>(0.9 * 10 * kGiB)) << "its own card's";
    EXPECT_EQ(card.threads, 4) << "its memory domain's";
    EXPECT_EQ(card.environment[1], "CUDA_VISIBLE_DEVICES=" + card.uuid);
  }
  EXPECT_NE(replica.slices()[0].uuid, replica.slices()[1].uuid);
  EXPECT_EQ(replica.needed_bytes, kGiB) << "of each";
}

TEST(PlaceGroups, GeneratedProblemsAreSound) {
  std::mt19937 random(5);
  const auto below = [&](unsigned limit) { return static_cast<unsigned>(random() % limit); };
  Outcomes outcomes;
  for (int i = 0; i < 3'000; ++i) {
    std::vector<Gpu> gpus;
    for (unsigned index = 0, count = 2 + below(7); index < count; ++index)
      gpus.push_back(below(6) == 0 ? cut_card(index, {20, 20}) : card(index, 20u << below(3)));
    const GpuInventory inventory = inventory_of_cards(gpus);
    std::vector<Wish> wishes;
    for (unsigned model = 0, count = 1 + below(3); model < count; ++model) {
      Wish wish = on_cards(below(4), (1 + below(30)) * kGiB);
      wish.processes = 1 + below(3);
      wish.division = below(2) == 0 ? Division::ranks : Division::stages;
      if (below(4) == 0)
        for (unsigned card = 0; card < 1 + wish.processes; ++card)
          wish.slices.push_back(std::to_string(below(static_cast<unsigned>(gpus.size()))));
      wishes.push_back(wish);
    }
    const PlacementRules rules = rules_of(below(2) == 0 ? Assignment::dedicated : kAuto.assignment);
    outcomes.place(inventory, wishes, rules);
  }
  EXPECT_GT(outcomes.placements, 300);
  EXPECT_GT(outcomes.misfits, 50);
  EXPECT_GT(outcomes.errors, 300);
}

TEST(PlaceRanks, WhatCannotBeIsSaidInNumbers) {
  const std::string model = "!model m: --tensor-parallel-size ";
  EXPECT_EQ(names_for(cards(2), {on_ranks(4, 0)}, kAuto),
            Names{model + "4: its ranks take 4 cards, and 2 are free"});
  EXPECT_EQ(names_for(cards(3), {on_ranks(2, 2)}, kAuto),
            Names{model + "2: the ranks of 2 replicas take 4 cards, and 3 are free"});
  EXPECT_EQ(names_for(cards(3), {on_ranks(2, 1, {"1"})}, kAuto),
            Names{model + "2: its ranks take 2 cards, and 1 is in its list"});
  EXPECT_EQ(
      names_for(cards(2), {on_ranks(2, 1, {"0", "1"}), on_cards(1, kGiB, {"1"})}, kAuto),
      Names{model + "2: each rank takes a card to itself, and 2 replicas are to run on gpu:1"});
  EXPECT_EQ(names_for(cards(2), {on_ranks(2, 1), on_cards(1)}, kAuto),
            Names{"!no slice to serve on is free: gpu:0 has a rank to itself; gpu:1 has a rank to "
                  "itself"});
  EXPECT_EQ(names_for(cards(3), {on_ranks(2, 1)}, rules_of(Assignment::automatic, 1)),
            Names{model + "2: its ranks take 2 cards, and 1 is free"});
  EXPECT_EQ(names_for(inventory_of_cards({card(0, 80), card(1, 1)}), {on_ranks(2, 1)}, kAuto),
            Names{"?model m does not fit gpu:1 (NVIDIA Test): a rank needs 1.0 GiB, and 921.6 "
                  "MiB may be used there"});
}

TEST(PlaceRanks, NcclIsNotAskedForWhatItDoesNot) {
  const std::string model = "!model m: --tensor-parallel-size 2: ";
  const std::string mig = "NCCL does not work across MIG slices";
  const auto cut = inventory_of_cards({card(0, 80), cut_card(1, {40, 40})});
  EXPECT_EQ(names_for(cut, {on_ranks(2, 1)}, kAuto),
            Names{model + "its ranks take 2 cards, and 1 is free; " + mig});
  EXPECT_EQ(names_for(cut, {on_ranks(2, 1, {"0", "mig:1/3"})}, kAuto),
            Names{model + "mig:1/3 is a MIG slice, and " + mig + "; name whole cards"});
  EXPECT_EQ(names_for(cut, {on_ranks(2, 1)}, rules_of(Assignment::mig)),
            Names{model + mig + "; --gpu-assignment dedicated takes whole cards"});
  for (const Assignment shared : {Assignment::shared, Assignment::time, Assignment::mps})
    EXPECT_EQ(names_for(cards(2), {on_ranks(2, 1)}, rules_of(shared)),
              Names{model +
                    "each rank takes a card to itself, since NCCL refuses two on one: "
                    "--gpu-assignment dedicated, not " +
                    std::string(name_of(shared))});
}

// ---- stages, which may have MIG slices too

TEST(PlaceStages, EachHasACardOrMigSliceToItself) {
  const auto mixed = inventory_of_cards({card(0, 80), cut_card(1, {40, 40, 10})});
  EXPECT_EQ(names_for(cards(3), {in_stages(2, 1)}, kAuto), Names{"gpu:0,gpu:1"});
  EXPECT_EQ(names_for(mixed, {in_stages(2, 1, {"mig:1/5", "gpu:0", "mig:1/3"})}, kAuto),
            Names{"mig:1/5,gpu:0"})
      << "in the order of the list";
  EXPECT_EQ(names_for(mixed, {in_stages(2, 0, {"mig:1/3", "gpu:0", "mig:1/5", "mig:1/4"})}, kAuto),
            (Names{"mig:1/3,gpu:0", "mig:1/5,mig:1/4"}));
  EXPECT_EQ(names_for(mixed, {in_stages(4, 1)}, rules_of(Assignment::dedicated)),
            Names{"gpu:0,mig:1/3,mig:1/4,mig:1/5"});
  EXPECT_EQ(names_for(mixed, {in_stages(2, 1)}, rules_of(Assignment::mig)),
            Names{"mig:1/3,mig:1/4"});
  // One slice does not hold them all, two do.
  const auto small = inventory_of_cards({cut_card(0, {10, 10, 10})});
  EXPECT_EQ(names_for(small, {in_stages(2, 1, {}, 8 * kGiB)}, kAuto), Names{"mig:0/3,mig:0/4"});
  // Others have what is left.
  EXPECT_EQ(names_for(small, {in_stages(2, 1), on_cards(0)}, kAuto),
            (Names{"mig:0/3,mig:0/4", "mig:0/5"}));

  const Placement two = placed(mixed, {in_stages(2, 1)}, rules_of(Assignment::mig));
  for (const Slice& slice : two.replicas[0].slices()) {
    EXPECT_EQ(slice.kind, SliceKind::mig);
    EXPECT_EQ(slice.memory_bytes, static_cast<std::uint64_t>(0.9 * 40 * kGiB));
    EXPECT_EQ(slice.environment[1], "CUDA_VISIBLE_DEVICES=" + slice.uuid);
  }
}

TEST(PlaceStages, WhatCannotBeIsSaidInNumbers) {
  const std::string model = "!model m: --pipeline-parallel-size ";
  const auto mixed = inventory_of_cards({card(0, 80), cut_card(1, {40, 40})});
  EXPECT_EQ(names_for(mixed, {in_stages(4, 0)}, kAuto),
            Names{model + "4: its stages take 4 cards or MIG slices, and 3 are free"});
  EXPECT_EQ(
      names_for(mixed, {in_stages(2, 2)}, kAuto),
      Names{model + "2: the stages of 2 replicas take 4 cards or MIG slices, and 3 are free"});
  EXPECT_EQ(names_for(mixed, {in_stages(2, 1, {"0"})}, kAuto),
            Names{model + "2: its stages take 2 cards or MIG slices, and 1 is in its list"});
  EXPECT_EQ(
      names_for(mixed, {in_stages(2, 1, {"gpu:0", "mig:1/3"}), on_cards(1, kGiB, {"mig:1/3"})},
                kAuto),
      Names{model + "2: each stage takes a card or MIG slice to itself, and 2 replicas are to run "
                    "on mig:1/3"});
  for (const Assignment shared : {Assignment::shared, Assignment::time, Assignment::mps})
    EXPECT_EQ(names_for(mixed, {in_stages(2, 1)}, rules_of(shared)),
              Names{model +
                    "2: each stage takes a card or MIG slice to itself: --gpu-assignment "
                    "dedicated, not " +
                    std::string(name_of(shared))});
  EXPECT_EQ(names_for(cards(2), {in_stages(2, 1), on_cards(1)}, kAuto),
            Names{"!no slice to serve on is free: gpu:0 has a stage to itself; gpu:1 has a stage "
                  "to itself"});
  EXPECT_EQ(names_for(mixed, {in_stages(2, 1, {}, 60 * kGiB)}, kAuto),
            Names{"?model m does not fit mig:1/3 (40g): a stage needs 60.0 GiB, and 36.0 GiB may "
                  "be used there"});
}

TEST(PlaceStages, TheLeastRoomIsOfThoseThatWouldDo) {
  const auto mixed = inventory_of_cards({card(0, 80), cut_card(1, {40, 10, 20})});
  const auto least = [&](const Wish& wish, const PlacementRules& rules = kAuto) {
    const auto room = least_room(machine_of_cores(8), mixed, wish, rules);
    return room.ok() ? std::to_string(static_cast<double>(*room) / (0.9 * kGiB)).substr(0, 2)
                     : room.error().message;
  };
  EXPECT_EQ(least(in_stages(2, 1)), "40") << "the two largest";
  EXPECT_EQ(least(in_stages(2, 0)), "40");
  EXPECT_EQ(least(in_stages(3, 1)), "20");
  EXPECT_EQ(least(in_stages(2, 2)), "10");
  EXPECT_EQ(least(in_stages(2, 1), rules_of(Assignment::mig)), "20");
  EXPECT_EQ(least(in_stages(2, 1, {"mig:1/4", "gpu:0", "mig:1/3"})), "10") << "the first two";
  EXPECT_EQ(least(in_stages(2, 1, {"gpu:7"})).substr(0, 45),
            "model m: no card and no MIG slice is gpu:7; t");
}

TEST(FindReplacement, StagesMoveToSlicesOfTheirKind) {
  const auto gpus = inventory_of_cards({card(0, 80), card(1, 80), cut_card(2, {40, 40})});
  const Placement group =
      placed(gpus, {in_stages(2, 1, {"mig:2/3", "gpu:0", "mig:2", "1"})}, kAuto);
  const PlacedReplica& lost = group.replicas[0];
  EXPECT_EQ(lost.slice.name, "mig:2/3,gpu:0");
  EXPECT_EQ(replacement(without(devices_of(gpus), "GPU-0"), lost, {}), "mig:2/3,gpu:1");
  EXPECT_EQ(replacement(without(devices_of(gpus), "MIG-2-0"), lost, {}), "mig:2/4,gpu:0");
  Slice other;
  other.uuid = "MIG-2-1";
  EXPECT_EQ(replacement(without(devices_of(gpus), "MIG-2-0"), lost, {other}), "none");
}

// ---- leased to others

TEST(Placement, WhatOthersHaveIsLeftOut) {
  const GpuInventory gpus = cards(2);
  PlacementRules rules = rules_of(Assignment::automatic);
  rules.withheld[gpus.gpus[0].uuid] = "is leased to task t";
  EXPECT_EQ(names_for(gpus, {on_cards(0)}, rules), Names{"gpu:1"});
  EXPECT_EQ(names_for(gpus, {on_cards(1, kGiB, {"gpu:0"})}, rules),
            Names{"!model m: gpu:0 is leased to task t"});
  EXPECT_EQ(
      names_for(gpus, {on_ranks(2, 1)}, rules),
      Names{"!model m: --tensor-parallel-size 2: its ranks take 2 cards, and 1 is free; gpu:0 "
            "is leased to task t"});
  rules.withheld[gpus.gpus[1].uuid] = "is leased too";
  EXPECT_EQ(names_for(gpus, {on_cards(1)}, rules),
            Names{"!no slice to serve on is free: gpu:0 is leased to task t; gpu:1 is leased too"});
}

TEST(Placement, CardsThatCannotComputeAreLeftOutForGood) {
  const GpuInventory gpus = cards(2);
  PlacementRules rules = rules_of(Assignment::automatic);
  rules.unusable[gpus.gpus[0].uuid] = "is of another make";
  EXPECT_EQ(names_for(gpus, {on_cards(0)}, rules), Names{"gpu:1"});
  EXPECT_EQ(names_for(gpus, {on_cards(1, kGiB, {"gpu:0"})}, rules),
            Names{"!model m: gpu:0 is of another make"});
  const auto devices = devices_of(gpus);
  PlacedReplica lost{.slice = {.kind = SliceKind::gpu, .uuid = gpus.gpus[1].uuid}};
  EXPECT_EQ(replacement({devices[0]}, lost, {}, rules), "none");
  EXPECT_EQ(replacement(devices, lost, {}, rules), "gpu:1");
}

// Without a number, so many on each of these.
Wish wish_to_share(std::map<std::string, std::uint32_t> on_device,
                   std::vector<std::string> slices = {}) {
  Wish wish = on_cards(0, kGiB, std::move(slices));
  wish.on_device = std::move(on_device);
  return wish;
}

TEST(Placement, SharesADeviceAsOftenAsItIsTold) {
  const Wish wish = wish_to_share({{"GPU-0", 3}, {"GPU-1", 1}});
  const Names shared = {"time:0#0", "gpu:1", "time:0#1", "time:0#2"};
  EXPECT_EQ(names_for(cards(2), {wish}, kAuto), shared);
  EXPECT_EQ(names_for(cards(2), {wish_to_share({{"GPU-0", 2}}, {"gpu:1", "gpu:0"})}, kAuto),
            (Names{"gpu:1", "time:0#0", "time:0#1"}));
  EXPECT_EQ(names_for(cards(1), {wish}, rules_of(Assignment::mps)),
            (Names{"mps:0#0", "mps:0#1", "mps:0#2"}));
  EXPECT_EQ(names_for(cards(2), {wish}, rules_of(Assignment::dedicated)),
            (Names{"gpu:0", "gpu:1"}));
}

TEST(Placement, SharesADeviceWithinItsMemory) {
  Wish wish = wish_to_share({{"GPU-0", 16}});
  wish.weights_bytes = 2 * kGiB;
  EXPECT_EQ(names_for(cards(1), {wish}, kAuto).size(), 7) << "of 9 GiB";
}

TEST(Placement, ADeviceOfTwoModelsIsSharedNoFurther) {
  const Wish wish = wish_to_share({{"GPU-0", 4}});
  EXPECT_EQ(names_for(cards(1), {wish, wish}, kAuto).size(), 2);
  EXPECT_EQ(names_for(cards(2), {wish, wish}, kAuto).size(), 5) << "each has a card";
  Wish numbered = wish;
  numbered.replicas = 1;
  EXPECT_EQ(names_for(cards(1), {numbered}, kAuto), (Names{"gpu:0"}));
}

}  // namespace
}  // namespace sheaf::slices
