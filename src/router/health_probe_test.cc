#include "router/health_probe.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <utility>

namespace sheaf::router {
namespace {

class HealthProbeTest : public ::testing::Test {
 protected:
  HealthProbeTest()
      : probe_(io_, [this](std::size_t model, TimeUs, HealthProbe::Heard heard) {
          sent_.emplace_back(model, std::move(heard));
        }) {}

  void ask(std::vector<std::size_t> models = {0}) {
    probe_.ask(models, [this](const Status& status) {
      answers_.push_back(status.ok() ? "healthy" : status.error().message);
    });
  }
  // Runs what is due, for at most as long as a probe may take and a little more.
  void wait_for_answers(std::size_t count) {
    while (answers_.size() < count && io_.run_one_for(std::chrono::seconds(5)) > 0) {
    }
  }

  const std::string late_ = "a one-token probe was not answered within 1 s";
  boost::asio::io_context io_;
  std::vector<std::pair<std::size_t, HealthProbe::Heard>> sent_;
  std::vector<std::string> answers_;
  HealthProbe probe_;
};

TEST_F(HealthProbeTest, IsHealthyWhenATokenIsBackFromEveryModel) {
  ask({3, 5});
  ASSERT_EQ(sent_.size(), 2u);
  EXPECT_EQ(sent_[0].first, 3u);
  EXPECT_EQ(sent_[1].first, 5u);
  sent_[0].second(true);
  EXPECT_TRUE(answers_.empty());
  sent_[1].second(true);
  EXPECT_EQ(answers_, std::vector<std::string>{"healthy"});
}

TEST_F(HealthProbeTest, OneLostTokenIsEnough) {
  ask({0, 1});
  sent_[0].second(false);
  sent_[1].second(true);
  EXPECT_EQ(answers_, std::vector<std::string>{late_});
}

TEST_F(HealthProbeTest, WhoAsksMeanwhileHearsTheSame) {
  ask();
  ask();
  ASSERT_EQ(sent_.size(), 1u);
  sent_[0].second(true);
  EXPECT_EQ(answers_, (std::vector<std::string>{"healthy", "healthy"}));
  ask();
  EXPECT_EQ(sent_.size(), 2u) << "an ended probe says nothing of now";
}

TEST_F(HealthProbeTest, ATokenThatComesTooLateSaysNothingOfTheNextProbe) {
  ask();
  wait_for_answers(1);
  EXPECT_EQ(answers_, std::vector<std::string>{late_});
  ask();
  ASSERT_EQ(sent_.size(), 2u);
  sent_[0].second(true);
  EXPECT_EQ(answers_.size(), 1u);
  sent_[1].second(true);
  EXPECT_EQ(answers_, (std::vector<std::string>{late_, "healthy"}));
}

}  // namespace
}  // namespace sheaf::router
