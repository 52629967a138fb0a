#include "cli/layer_choice.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <numeric>

namespace sheaf::cli {
namespace {

TEST(LayerRuns, AreLayersWhereTheseAreFew) {
  EXPECT_EQ(layer_runs(3), (std::vector<Layers>{{0}, {1}, {2}}));
  EXPECT_EQ(layer_runs(12).size(), 12u);
}

TEST(LayerRuns, AreNeighboursWhereTheseAreMany) {
  EXPECT_EQ(layer_runs(13),
            (std::vector<Layers>{{0, 1}, {2, 3}, {4, 5}, {6, 7}, {8, 9}, {10, 11}, {12}}));
  for (std::uint32_t layers = 1; layers <= 100; ++layers) {
    Layers all, want(layers);
    std::iota(want.begin(), want.end(), 0u);
    const std::vector<Layers> runs = layer_runs(layers);
    for (const Layers& run : runs) all.insert(all.end(), run.begin(), run.end());
    EXPECT_LE(runs.size(), kRunsMost);
    EXPECT_EQ(all, want);
  }
}

TEST(Bounds, AreOfTheMeanAndOfEach) {
  EXPECT_TRUE(keeps_bounds({0.0005, 0.0014}));
  EXPECT_FALSE(keeps_bounds({0.0005, 0.0016})) << "0.00105 in the mean";
  EXPECT_TRUE(keeps_bounds({0, 0, 0, 0, 0, 0.0049}));
  EXPECT_FALSE(keeps_bounds({0, 0, 0, 0, 0, 0.0051}));
  EXPECT_FALSE(keeps_bounds({0, std::nan("")}));
  EXPECT_FALSE(keeps_bounds({}));
}

std::vector<Layers> layers_in(const std::vector<RunCost>& runs) {
  std::vector<Layers> all;
  for (const RunCost& run : runs) all.push_back(run.layers);
  return all;
}

TEST(AffordableRuns, AreTheCheapestWhoseErrorsAddUpToLess) {
  const std::vector<RunCost> runs = {{{0}, {0.0004, 0.0004}},
                                     {{1}, {0.0001, 0.0001}},
                                     {{2}, {0.0002, 0.0002}},
                                     {{3}, {0.0006, 0.0006}}};
  EXPECT_EQ(layers_in(affordable(runs, {0, 0})), (std::vector<Layers>{{1}, {2}, {0}}));
  EXPECT_EQ(layers_in(affordable(runs, {0.0003, 0.0003})), (std::vector<Layers>{{1}, {2}}))
      << "what bfloat16 costs counts";
  EXPECT_TRUE(affordable(runs, {0.001, 0.001}).empty());
  EXPECT_TRUE(affordable({}, {0, 0}).empty());
}

TEST(AffordableRuns, LeaveSomeRoom) {
  EXPECT_EQ(affordable({{{0}, {0.00089}}}, {0}).size(), 1u);
  EXPECT_TRUE(affordable({{{0}, {0.00091}}}, {0}).empty());
}

TEST(AffordableRuns, KeepEachTextWithinItsBound) {
  TextErrors hard(100), none(100);
  hard[7] = 0.003;
  const std::vector<RunCost> runs = {{{0}, hard}, {{1}, hard}};
  EXPECT_EQ(affordable(runs, none).size(), 1u) << "0.006 of a text";
}

TEST(AffordableRuns, DoWithoutOneThatIsTooMuchForAText) {
  TextErrors hard(100, 0.0001), even(100, 0.0002);
  hard[7] = 0.003;
  const std::vector<RunCost> runs = {{{0}, hard}, {{1}, hard}, {{2}, even}};
  EXPECT_EQ(layers_in(affordable(runs, TextErrors(100))), (std::vector<Layers>{{0}, {2}}));
}

TEST(AffordableRuns, AreAsManyLayersAsCanBe) {
  EXPECT_EQ(layers_in(affordable({{{0, 1}, {0.0006}}, {{2}, {0.0001}}}, {0})),
            (std::vector<Layers>{{2}, {0, 1}}));
  EXPECT_EQ(layers_in(affordable({{{0, 1}, {0.0006}}, {{2}, {0.0004}}}, {0})),
            (std::vector<Layers>{{0, 1}}));
}

// The last two are cheaper in the mean, and take more of what a text may lose.
TEST(AffordableRuns, LeaveTheMostRoom) {
  TextErrors even(10, 0.0003), first(10), second(10);
  first[0] = 0.0020;
  second[0] = 0.0022;
  const std::vector<RunCost> runs = {{{0}, even}, {{1}, even}, {{2}, first}, {{3}, second}};
  EXPECT_EQ(layers_in(affordable(runs, TextErrors(10))), (std::vector<Layers>{{2}, {0}, {1}}));
}

TEST(AffordableRuns, OfTheMostThatThereAreAreFoundAtOnce) {
  std::vector<RunCost> runs;
  for (std::uint32_t i = 0; i < kRunsMost; ++i)
    runs.push_back({{i}, TextErrors(60, 0.0001 + 0.00001 * i)});
  EXPECT_EQ(affordable(runs, TextErrors(60)).size(), 6u);
}

// A model of which each layer costs as much on all texts.
class Model {
 public:
  explicit Model(std::vector<double> costs) : costs_(std::move(costs)) {}

  // `times`: how much more layers cost beside each other.
  std::optional<Layers> choose(double times = 1) {
    const auto count = static_cast<std::uint32_t>(costs_.size());
    return choose_layers(count, {kRest, kRest}, measure(1, alone), measure(times, together));
  }

  std::vector<Layers> alone, together;  // that were measured
  std::map<std::uint32_t, bool> fails;
  bool no_time_at_the_end = false;

 private:
  static constexpr double kRest = 0.00001;

  MeasureLayers measure(double times, std::vector<Layers>& measured) {
    return [this, times, &measured](const Layers& layers) -> Result<TextErrors> {
      if ((&measured == &together && no_time_at_the_end) || fails.contains(layers.front()))
        return Error{ErrorCode::unavailable, "no time"};
      measured.push_back(layers);
      double sum = kRest;
      for (const std::uint32_t layer : layers) sum += times * costs_[layer];
      return TextErrors{sum, sum};
    };
  }

  std::vector<double> costs_;
};

TEST(ChosenLayers, AreMeasuredTogether) {
  Model model({0.0003, 0.0009, 0.0001, 0.0004});
  EXPECT_EQ(model.choose(), Layers({0, 2, 3}));
  EXPECT_EQ(model.alone.size(), 4u);
  EXPECT_EQ(model.together, (std::vector<Layers>{{0, 2, 3}}));
}

TEST(ChosenLayers, AreFewerWhereErrorsDoMoreThanAddUp) {
  Model model({0.0003, 0.0009, 0.0001, 0.0004});
  EXPECT_EQ(model.choose(1.5), Layers({0, 2}));
  EXPECT_EQ(model.together, (std::vector<Layers>{{0, 2, 3}, {0, 2}}));
  EXPECT_EQ(Model({0.0003, 0.0009, 0.0001, 0.0004}).choose(12), std::nullopt);
}

TEST(ChosenLayers, AreNoneWhereEachIsTooMuch) {
  Model model({0.002, 0.003});
  EXPECT_EQ(model.choose(), std::nullopt);
  EXPECT_TRUE(model.together.empty());
}

TEST(ChosenLayers, AreNotLookedForWhereBfloat16LeavesNoRoom) {
  const auto never = [](const Layers&) -> Result<TextErrors> {
    ADD_FAILURE() << "it was measured";
    return TextErrors{0};
  };
  EXPECT_EQ(choose_layers(2, {0.002}, never, never), std::nullopt);
}

TEST(ChosenLayers, AreOfThoseThatWereMeasured) {
  Model model({0.0003, 0.0003, 0.0003, 0.0003});
  model.fails = {{0, true}, {2, true}};
  EXPECT_EQ(model.choose(), Layers({1, 3}));
  EXPECT_EQ(Model({std::nan(""), 0.0003}).choose(), Layers({1}));
}

TEST(ChosenLayers, AreNoneThatWereNotSeenTogether) {
  Model model({0.0003, 0.0003});
  model.no_time_at_the_end = true;
  EXPECT_EQ(model.choose(), std::nullopt);
}

TEST(ChosenLayers, OfManyComeInRuns) {
  std::vector<double> costs(24, 0.0004);
  costs[4] = costs[5] = 0.0001;
  costs[20] = costs[21] = 0.00005;
  Model model(costs);
  EXPECT_EQ(model.choose(), Layers({4, 5, 20, 21}));
  EXPECT_EQ(model.alone.size(), 12u);
}

}  // namespace
}  // namespace sheaf::cli
