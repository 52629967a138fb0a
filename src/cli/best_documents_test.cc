#include "cli/best_documents.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

namespace sheaf::cli {
namespace {

std::vector<std::uint64_t> indexes_of(const std::vector<RankedDocument>& documents) {
  std::vector<std::uint64_t> indexes;
  for (const RankedDocument& document : documents) indexes.push_back(document.index);
  return indexes;
}

TEST(BestDocuments, BestFirstEqualOnesAsTheyCameAndThoseWithoutNumberLast) {
  BestDocuments best(0);
  for (const float score : {0.5f, std::nanf(""), 2.0f, 0.5f, -1.0f}) best.add("t", score);
  EXPECT_EQ(indexes_of(best.take()), (std::vector<std::uint64_t>{2, 0, 3, 4, 1}));
}

// However many come: cut on the way as if all were ordered at the end.
TEST(BestDocuments, TheBestFewOfMany) {
  BestDocuments few(7), all(0);
  std::uint32_t random = 1;
  for (int i = 0; i < 20'000; ++i) {
    random = random * 1'664'525 + 1'013'904'223;
    const auto score = static_cast<float>(random >> 23);  // 512 scores: many are equal
    few.add(std::to_string(i), score);
    all.add("", score);
  }
  const auto best = few.take();
  auto expected = indexes_of(all.take());
  expected.resize(7);
  EXPECT_EQ(indexes_of(best), expected);
  for (const RankedDocument& document : best)
    EXPECT_EQ(document.text, std::to_string(document.index));
}

TEST(RankingTable, Fits80Columns) {
  const std::string table =
      ranking_table({{12, 0.98764f, std::string(200, 'x')}, {1'000'000'000, -11.25f, "short"}});
  std::istringstream lines(table);
  std::string line;
  std::getline(lines, line);
  EXPECT_EQ(line, "score          index  text");
  std::getline(lines, line);
  EXPECT_EQ(line.substr(0, 24), "  0.9876          12  xx");
  EXPECT_EQ(line.size(), 80u + 2) << "the sign of the cut has three bytes";
  std::getline(lines, line);
  EXPECT_EQ(line, "-11.2500  1000000000  short");
}

TEST(RankingJson, IsOneList) {
  const auto json = nlohmann::json::parse(ranking_json({{3, 0.1f, "a \"b\""}, {0, -2, ""}}));
  ASSERT_EQ(json.size(), 2u);
  EXPECT_EQ(json[0]["index"], 3);
  EXPECT_EQ(json[0]["score"].get<float>(), 0.1f);
  EXPECT_EQ(json[0]["text"], "a \"b\"");
  EXPECT_EQ(ranking_json({}), "[]\n");
}

}  // namespace
}  // namespace sheaf::cli
