#include "model/spec/device_map.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <random>

namespace sheaf::model {
namespace {

using Rooms = std::vector<std::uint64_t>;

// Layers of each stage.
std::vector<std::uint32_t> counts_of(const PartBytes& bytes, const Rooms& rooms) {
  std::vector<std::uint32_t> counts;
  for (const Stage& stage : divide_layers(bytes, rooms)) counts.push_back(stage.layers);
  return counts;
}

using Counts = std::vector<std::uint32_t>;

TEST(DeviceMap, GivesEachAsMuchToDoWhereMemorySuffices) {
  const PartBytes bert = {.words = 94, .layers = Rooms(12, 28), .heads = 0};
  EXPECT_EQ(counts_of(bert, Rooms(2, 1000)), (Counts{6, 6}));
  EXPECT_EQ(counts_of(bert, Rooms(3, 1000)), (Counts{4, 4, 4}));
  EXPECT_EQ(counts_of(bert, Rooms(7, 1000)), (Counts{1, 1, 2, 2, 2, 2, 2}));
  EXPECT_EQ(counts_of(bert, {1}), Counts{12});
  const PartBytes splade = {.words = 94, .layers = Rooms(12, 28), .heads = 94};
  EXPECT_EQ(counts_of(splade, Rooms(2, 1000)), (Counts{8, 4}))
      << "its head multiplies by all words";
}

TEST(DeviceMap, GivesWhoHasTheWordsFewerLayersWhereMemoryIsShort) {
  const PartBytes bert = {.words = 94, .layers = Rooms(12, 28), .heads = 0};
  EXPECT_EQ(counts_of(bert, {234, 234}), (Counts{5, 7}));
  EXPECT_EQ(counts_of(bert, {233, 233}), (Counts{4, 8}));  // 206 and 224
  EXPECT_EQ(counts_of(bert, {100, 100}), (Counts{4, 8})) << "which is too much, and the least so";
  EXPECT_EQ(counts_of(bert, {1, 1, 1}), (Counts{2, 5, 5}));
}

TEST(DeviceMap, GoesByTheRoomThatEachHas) {
  const PartBytes even = {.words = 0, .layers = Rooms(12, 10), .heads = 0};
  EXPECT_EQ(counts_of(even, {40, 80}), (Counts{4, 8}));
  EXPECT_EQ(counts_of(even, {80, 20, 20}), (Counts{8, 2, 2}));
  EXPECT_EQ(counts_of(even, {20, 40}), (Counts{4, 8})) << "of twice what there is";
  EXPECT_EQ(counts_of(even, {50, 1000}), (Counts{5, 7}));
}

TEST(DeviceMap, GivesEachALayerOrNothingToAnyone) {
  const PartBytes heavy = {.words = 1000, .layers = Rooms(3, 1), .heads = 50};
  EXPECT_EQ(counts_of(heavy, {1, 1, 1}), (Counts{1, 1, 1}));
  EXPECT_EQ(counts_of(heavy, {1, 1}), (Counts{1, 2}));
  EXPECT_TRUE(divide_layers(heavy, Rooms(4, 1)).empty());
  EXPECT_TRUE(divide_layers(heavy, {}).empty());
  EXPECT_TRUE(divide_layers(heavy, Rooms{1, 0}).empty());
}

struct Load {
  double fullest = 0;  // stage's share of its room
  std::uint64_t busiest = 0;
};

Load load_of(const PartBytes& bytes, const Rooms& rooms, const std::vector<Stage>& stages) {
  Load load;
  for (const Stage& stage : stages) {
    load.fullest = std::max(load.fullest, static_cast<double>(bytes.of(stage)) /
                                              static_cast<double>(rooms[stage.index]));
    load.busiest = std::max(load.busiest, bytes.of(stage) - (stage.is_first() ? bytes.words : 0));
  }
  return load;
}

// Calls body with every map that there is.
void for_all_maps(std::uint32_t layers, std::uint32_t count, std::vector<Stage>& begun,
                  const std::function<void()>& body) {
  const auto index = static_cast<std::uint32_t>(begun.size());
  if (index == count) return layers == 0 ? body() : void();
  const std::uint32_t first = begun.empty() ? 0 : begun.back().first_layer + begun.back().layers;
  for (std::uint32_t n = 1; n <= layers; ++n) {
    begun.push_back({index, count, first, n});
    for_all_maps(layers - n, count, begun, body);
    begun.pop_back();
  }
}

// Of all maps the least that the fullest can be, and of those that are no fuller than that, or than
// they may be, the least that the busiest can have.
Load least_load(const PartBytes& bytes, const Rooms& rooms) {
  const auto layers = static_cast<std::uint32_t>(bytes.layers.size());
  const auto count = static_cast<std::uint32_t>(rooms.size());
  Load least{1e300, ~std::uint64_t{0}};
  std::vector<Stage> map;
  for_all_maps(layers, count, map, [&] {
    least.fullest = std::min(least.fullest, load_of(bytes, rooms, map).fullest);
  });
  for_all_maps(layers, count, map, [&] {
    const Load load = load_of(bytes, rooms, map);
    if (load.fullest <= std::max(1.0, least.fullest))
      least.busiest = std::min(least.busiest, load.busiest);
  });
  return least;
}

TEST(DeviceMap, IsTheBestOfAll) {
  std::mt19937 random(7);
  const auto number = [&](std::uint32_t low, std::uint32_t high) {
    return low + random() % (high - low + 1);
  };
  int scarce = 0;
  for (int round = 0; round < 500; ++round) {
    PartBytes bytes = {.words = number(0, 60), .layers = {}, .heads = number(0, 30)};
    for (std::uint32_t i = number(1, 8); i > 0; --i) bytes.layers.push_back(number(0, 20));
    Rooms rooms;
    for (std::uint32_t i = number(1, static_cast<std::uint32_t>(bytes.layers.size())); i > 0; --i)
      rooms.push_back(number(10, 90));
    const std::vector<Stage> stages = divide_layers(bytes, rooms);
    ASSERT_EQ(stages.size(), rooms.size());
    std::uint32_t next = 0;
    for (const Stage& stage : stages) {
      ASSERT_EQ(stage.first_layer, next);
      ASSERT_GT(stage.layers, 0u);
      next += stage.layers;
    }
    ASSERT_EQ(next, bytes.layers.size());
    const Load got = load_of(bytes, rooms, stages), least = least_load(bytes, rooms);
    if (least.fullest > 1) {
      ASSERT_DOUBLE_EQ(got.fullest, least.fullest) << "round " << round;
      ++scarce;
    }
    ASSERT_LE(got.fullest, std::max(1.0, least.fullest)) << "round " << round;
    ASSERT_EQ(got.busiest, least.busiest) << "round " << round;
  }
  EXPECT_GT(scarce, 50);
  EXPECT_LT(scarce, 450);
}

TEST(DeviceMap, IsShortToRead) {
  constexpr std::uint64_t kMiB = 1 << 20;
  const PartBytes bytes = {.words = 89 * kMiB, .layers = Rooms(7, 27 * kMiB), .heads = 2 * kMiB};
  EXPECT_EQ(text_of(divide_layers(bytes, Rooms(3, 1)), bytes),
            "stage 0: words, layer 0, 116.0 MiB; stage 1: layers 1-3, 81.0 MiB; "
            "stage 2: layers 4-6, pooling, 83.0 MiB");
}

TEST(Stages, AreChecked) {
  ModelSpec spec;
  spec.layers = 6;
  const auto error = [&](const Shard& shard) {
    const Status status = check_shard(spec, shard);
    return status.ok() ? "" : status.error().message;
  };
  EXPECT_EQ(error({}), "");
  EXPECT_EQ(error({.stage = {0, 2, 0, 4}}), "");
  EXPECT_EQ(error({.stage = {1, 2, 4, 2}}), "");
  EXPECT_EQ(error({.stage = {1, 3, 2, 2}}), "");
  EXPECT_EQ(error({.stage = {2, 2, 4, 2}}), "there is no stage 2 of 2");
  EXPECT_EQ(error({.stage = {0, 7, 0, 1}}), "6 layers cannot be divided into 7 stages");
  EXPECT_EQ(error({.stage = {0, 2, 0, 0}}), "stage 0 of 2 cannot have layers [0, 0) of 6");
  EXPECT_EQ(error({.stage = {0, 2, 1, 2}}), "stage 0 of 2 cannot have layers [1, 3) of 6");
  EXPECT_EQ(error({.stage = {1, 2, 3, 2}}), "stage 1 of 2 cannot have layers [3, 5) of 6");
  EXPECT_EQ(error({.stage = {1, 2, 4, 0xffffffff}}),
            "stage 1 of 2 cannot have layers [4, 4294967299) of 6");
  EXPECT_EQ(error({0, 2, {0, 2, 0, 3}}),
            "a model is divided over ranks or into stages, not both at once");
}

TEST(Stages, TheLastIsTheFirstProcess) {
  const auto process = [](std::uint32_t index) {
    return Shard{.stage = {index, 3, index, 1}}.process();
  };
  EXPECT_EQ(process(2), 0u);
  EXPECT_EQ(process(0), 1u);
  EXPECT_EQ(process(1), 2u);
  EXPECT_EQ((Shard{1, 2}).process(), 1u);
  EXPECT_EQ(Shard().processes(), 1u);
}

}  // namespace
}  // namespace sheaf::model
