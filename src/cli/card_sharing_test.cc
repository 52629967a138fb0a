#include "cli/card_sharing.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace sheaf::cli {
namespace {

// Of 1, 2, 4, … replicas; beyond its end there is no room.
RateOf rates_of(std::vector<double> rates) {
  return [rates](std::uint32_t replicas, std::uint32_t) -> Result<std::optional<double>> {
    for (const double rate : rates)
      if (replicas == 1)
        return std::optional(rate);
      else
        replicas /= 2;
    return std::optional<double>();
  };
}

std::size_t steps_of(const std::vector<double>& rates) {
  const auto sharing = measure_sharing(rates_of(rates));
  return sharing.ok() ? sharing->size() : 0;
}

CardSharing sharing_of(const std::vector<double>& rates) {
  CardSharing sharing;
  for (const double rate : rates) sharing.push_back({1u << sharing.size(), 1, rate});
  return sharing;
}

TEST(CardSharings, DoublesWhileThatGains) {
  EXPECT_EQ(steps_of({100, 200, 400, 404, 900}), 4);
  EXPECT_EQ(steps_of({100, 104}), 2);
  EXPECT_EQ(steps_of({100}), 1) << "no room for two";
  EXPECT_EQ(steps_of({100, 200, 400, 800, 1600, 3200}), 5) << "up to 16";
  EXPECT_EQ(measure_sharing(rates_of({})).error().message, "there is no room for one replica");
}

TEST(CardSharings, WhatSeveralFailAtEndsIt) {
  for (const ErrorCode code : {ErrorCode::deadline_exceeded, ErrorCode::unavailable})
    for (const std::uint32_t failing : {1u, 2u, 4u}) {
      const auto sharing = measure_sharing(
          [=](std::uint32_t replicas, std::uint32_t) -> Result<std::optional<double>> {
            if (replicas == failing) return Error{code, "late"};
            return std::optional(100.0 * replicas);
          });
      ASSERT_EQ(sharing.ok(), failing > 1 && code != ErrorCode::unavailable);
      if (sharing.ok())
        EXPECT_EQ(best_sharing(*sharing).replicas, failing / 2);
      else
        EXPECT_EQ(sharing.error().message, "late");
    }
}

TEST(CardSharings, TheBestIsTheLastThatGained) {
  EXPECT_EQ(best_sharing(sharing_of({100})).replicas, 1);
  EXPECT_EQ(best_sharing(sharing_of({100, 104})).replicas, 1);
  EXPECT_EQ(best_sharing(sharing_of({100, 105})).replicas, 2);
  EXPECT_EQ(best_sharing(sharing_of({100, 200, 300, 301})).replicas, 4);
  EXPECT_EQ(describe(sharing_of({100.4, 200})),
            "1 replica: 100 tokens/s, 2 replicas: 200 tokens/s");
}

// By rates of 1, 2 and 4 streams, and of 2 replicas.
std::string best_of(const std::vector<double>& streams, double two_replicas,
                    std::uint32_t streams_max = 4) {
  const auto sharing = measure_sharing(
      [&](std::uint32_t replicas, std::uint32_t on) -> Result<std::optional<double>> {
        if (replicas > 2 || (replicas == 2 && on > 1)) return std::optional<double>();
        if (replicas == 2) return std::optional(two_replicas);
        return std::optional(streams.at(on == 4 ? 2 : on - 1));
      },
      1, streams_max);
  return describe(best_sharing(*sharing));
}

TEST(CardSharings, MoreReplicasHaveToGainOverMoreStreams) {
  EXPECT_EQ(best_of({100, 120, 150}, 110), "1 replica on 4 streams");
  EXPECT_EQ(best_of({100, 120, 121}, 125), "1 replica on 2 streams");
  EXPECT_EQ(best_of({100, 120, 121}, 130), "2 replicas");
  EXPECT_EQ(best_of({100, 104, 200}, 104), "1 replica") << "it stops where it does not gain";
  EXPECT_EQ(best_of({100, 120, 150}, 110, 1), "2 replicas") << "of streams nobody asked";
}

TEST(CardSharings, TheBestOfSoManyStreams) {
  const CardSharing sharing = {{1, 1, 100}, {1, 2, 200}, {1, 4, 300}, {2, 1, 190}, {4, 1, 290}};
  EXPECT_EQ(describe(best_sharing(sharing)), "1 replica on 4 streams");
  EXPECT_EQ(describe(best_sharing(sharing, 1)), "4 replicas");
  EXPECT_EQ(describe(best_sharing(sharing, 2)), "1 replica on 2 streams");
  EXPECT_EQ(describe(best_sharing(sharing, 8)), "1 replica on 8 streams");
}

TEST(CardSharings, StreamsThatWereSaidStay) {
  const auto sharing = measure_sharing(
      [](std::uint32_t replicas, std::uint32_t streams) -> Result<std::optional<double>> {
        return std::optional(100.0 * replicas * streams);
      },
      2, 2);
  ASSERT_TRUE(sharing.ok());
  EXPECT_EQ(sharing->size(), 5);
  EXPECT_EQ(describe(best_sharing(*sharing)), "16 replicas on 2 streams");
}

class KeptSharing : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_ + "/model");
    std::ofstream(folder_ + "/program") << "program";
    ::setenv("SHEAF_CACHE", (folder_ + "/cache").c_str(), 1);
  }
  void TearDown() override {
    ::unsetenv("SHEAF_CACHE");
    std::filesystem::remove_all(folder_);
  }

  Measured on(const std::string& card) const {
    return {kSharing, folder_ + "/program", {folder_ + "/model"}, card};
  }

  const std::string folder_ = ::testing::TempDir() + "sheaf-card-sharing-test";
};

TEST_F(KeptSharing, IsOfOneKindOfCard) {
  EXPECT_FALSE(kept_sharing(on("a card")));
  ASSERT_TRUE(keep_sharing(on("a card"), sharing_of({100, 200})).ok());
  ASSERT_TRUE(keep_sharing(on("another"), sharing_of({100})).ok());
  const auto kept = kept_sharing(on("a card"));
  ASSERT_TRUE(kept && kept->size() == 2);
  EXPECT_EQ((*kept)[1].tokens_per_s, 200);
  EXPECT_FALSE(kept_sharing(on("a third")));
  const auto all = kept_sharing_on_cards({folder_ + "/model"});
  ASSERT_EQ(all.size(), 2);
  EXPECT_EQ(best_sharing(all.at("a card")).replicas, 2);
  EXPECT_EQ(best_sharing(all.at("another")).replicas, 1);
  EXPECT_TRUE(kept_sharing_on_cards({folder_ + "/no-model"}).empty());
}

TEST_F(KeptSharing, IsNoneOfAnotherProgram) {
  ASSERT_TRUE(keep_sharing(on("a card"), sharing_of({100, 200})).ok());
  std::ofstream(folder_ + "/program") << "another program";
  EXPECT_FALSE(kept_sharing(on("a card")));
  EXPECT_TRUE(kept_sharing_on_cards({folder_ + "/model"}).empty());
}

TEST_F(KeptSharing, UnsoundIsNone) {
  for (const CardSharing& unsound :
       std::vector<CardSharing>{{},
                                {{2, 1, 100}},
                                {{1, 1, 100}, {3, 1, 200}},
                                {{1, 1, 100}, {1, 3, 200}},
                                {{1, 1, 100}, {2, 2, 200}},
                                {{1, 1, 100}, {2, 1, 200}, {1, 2, 300}},
                                {{1, 1, 100}, {1, 2, 100}, {4, 1, 200}},
                                {{1, 9, 100}},
                                {{1, 0, 100}},
                                {{1, 1, 0}},
                                {{1, 1, 1e300}},
                                {{1, 1, -1}}}) {
    ASSERT_TRUE(keep_sharing(on("a card"), unsound).ok());
    EXPECT_FALSE(kept_sharing(on("a card")));
  }
}

}  // namespace
}  // namespace sheaf::cli
