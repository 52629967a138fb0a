#include "api/score.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

namespace sheaf::api {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();
using Order = std::vector<std::uint32_t>;

TEST(ScoreTest, SigmoidOfAnySize) {
  EXPECT_EQ(sigmoid(0), 0.5f);
  EXPECT_NEAR(sigmoid(1), 0.7310585786, 1e-7);
  EXPECT_NEAR(sigmoid(-2) + sigmoid(2), 1, 1e-7);
  EXPECT_EQ(sigmoid(200), 1);
  EXPECT_EQ(sigmoid(-kInfinity), 0);
  EXPECT_GT(sigmoid(-80), 0);
  EXPECT_TRUE(std::isnan(sigmoid(kNan)));
}

TEST(ScoreTest, OneLabelIsASigmoidSeveralASoftmaxUnlessTheyMayHoldTogether) {
  model::ModelSpec spec;
  spec.labels = {"a"};
  EXPECT_EQ(label_scale(spec, /*raw=*/false), LabelScale::sigmoid);
  spec.labels = {"a", "b"};
  EXPECT_EQ(label_scale(spec, /*raw=*/false), LabelScale::softmax);
  spec.independent_labels = true;
  EXPECT_EQ(label_scale(spec, /*raw=*/false), LabelScale::sigmoid);
  EXPECT_EQ(label_scale(spec, /*raw=*/true), LabelScale::raw);

  std::vector<float> both = {1, 2};
  scale_labels(both, LabelScale::raw);
  EXPECT_EQ(both, (std::vector<float>{1, 2}));
  scale_labels(both, LabelScale::sigmoid);
  EXPECT_EQ(both, (std::vector<float>{sigmoid(1), sigmoid(2)}));
}

TEST(ScoreTest, LabelsAreScaled) {
  std::vector<float> one = {1};
  scale_labels(one, LabelScale::sigmoid);
  EXPECT_EQ(one[0], sigmoid(1));

  std::vector<float> three = {1, 0, -1};
  scale_labels(three, LabelScale::softmax);
  EXPECT_NEAR(three[0], 0.6652409558, 1e-7);
  EXPECT_NEAR(three[1], 0.2447284711, 1e-7);
  EXPECT_NEAR(three[2], 0.0900305732, 1e-7);

  std::vector<float> large = {1000, 1000, -1000};
  scale_labels(large, LabelScale::softmax);
  EXPECT_EQ(large, (std::vector<float>{0.5f, 0.5f, 0}));

  std::vector<float> none;
  scale_labels(none, LabelScale::softmax);
}

TEST(ScoreTest, RankingIsStableAndPutsNanLast) {
  EXPECT_EQ(ranking(std::vector<float>{1, 3, 2}), (Order{1, 2, 0}));
  EXPECT_EQ(ranking(std::vector<float>{1, 2, 1, 2, 1}), (Order{1, 3, 0, 2, 4}));
  EXPECT_EQ(ranking(std::vector<float>{kNan, -kInfinity, kNan, kInfinity, 0}),
            (Order{3, 4, 1, 0, 2}));
  EXPECT_EQ(ranking({}), Order{});
}

TEST(ScoreTest, RankingOfManyWithNanIsAPermutation) {
  std::vector<float> scores;
  for (int i = 0; i < 1000; ++i) scores.push_back(i % 7 == 0 ? kNan : float(i * 37 % 101));
  Order order = ranking(scores);
  for (std::size_t i = 1; i < order.size(); ++i) {
    const float before = scores[order[i - 1]], after = scores[order[i]];
    EXPECT_TRUE(std::isnan(after) || before >= after) << i;
  }
  std::sort(order.begin(), order.end());
  Order all(scores.size());
  std::iota(all.begin(), all.end(), 0u);
  EXPECT_EQ(order, all);
}

TEST(ScoreTest, LabelsAreRankedByRawScores) {
  std::string out;
  append_label_scores(out, {"a", "b\"", "c"}, std::vector<float>{0, 40, 41}, LabelScale::raw);
  EXPECT_EQ(out,
            R"([{"score":41,"label":"c"},{"score":40,"label":"b\""},{"score":0,"label":"a"}])");
  out.clear();
  append_label_scores(out, {"a", "b"}, std::vector<float>{0, 0}, LabelScale::softmax);
  EXPECT_EQ(out, R"([{"score":0.5,"label":"a"},{"score":0.5,"label":"b"}])");
}

TEST(ScoreTest, DocumentsAreScaledOneByOneAndLabelsTogether) {
  const std::vector<float> raw_scores = {0, 40, 41};  // float sigmoids of the last two are 1
  const std::vector<Ranked> documents = rank_documents(raw_scores, /*raw=*/false);
  ASSERT_EQ(documents.size(), 3u);
  EXPECT_EQ(documents[0].index, 2u);
  EXPECT_EQ(documents[1].index, 1u);
  EXPECT_EQ(documents[1].score, 1);
  EXPECT_EQ(documents[2].score, 0.5f);
  EXPECT_EQ(rank_documents(raw_scores, /*raw=*/true)[0].score, 41);

  const std::vector<Ranked> labels = rank_labels(raw_scores, LabelScale::softmax);
  EXPECT_EQ(labels[0].index, 2u);
  EXPECT_NEAR(labels[0].score, 0.7310585786, 1e-6);
  EXPECT_NEAR(labels[1].score, 0.2689414214, 1e-6);
  EXPECT_EQ(rank_labels(raw_scores, LabelScale::raw)[0].score, 41);
}

TEST(ScoreTest, PairsOneWithEachOrEachWithItsOwn) {
  std::vector<router::Input> pairs;
  append_pairs({"q"}, {"a", "b"}, pairs);
  append_pairs({"q", "r"}, {"c", "d"}, pairs);
  std::string all;
  for (const router::Input& input : pairs) {
    const auto& pair = std::get<router::TextPair>(input);
    all += *pair.first + pair.second + " ";
  }
  EXPECT_EQ(all, "qa qb qc rd ");
}

TEST(ScoreTest, PairsOfOneQueryShareIt) {
  std::vector<router::Input> pairs;
  append_pairs({std::string(1 << 20, 'q')}, std::vector<std::string>(300, "d"), pairs);
  for (const router::Input& input : pairs)
    EXPECT_EQ(std::get<router::TextPair>(input).first,
              std::get<router::TextPair>(pairs.front()).first);
}

}  // namespace
}  // namespace sheaf::api
