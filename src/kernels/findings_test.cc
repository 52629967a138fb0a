#include "kernels/findings.h"

#include <gtest/gtest.h>

#include <array>
#include <barrier>
#include <thread>
#include <vector>

namespace sheaf::kernels {
namespace {

TEST(Findings, WhatWasKeptFirstStays) {
  Findings<int> findings;
  EXPECT_FALSE(findings.find({1, 2}));
  EXPECT_EQ(findings.keep({1, 2}, 7), 7);
  EXPECT_EQ(findings.keep({1, 2}, 8), 7);
  EXPECT_EQ(findings.find({1, 2}), 7);
}

TEST(Findings, EveryNumberOfAQuestionCounts) {
  Findings<int> findings;
  findings.keep({1, 2}, 7);
  for (const Findings<int>::Question& other :
       {Findings<int>::Question{1}, {1, 3}, {2, 2}, {1, 2, 0}})
    EXPECT_FALSE(findings.find(other));
}

// Answers of several words, which would be torn if they were read while another writes them.
TEST(Findings, AreTheSameForAllThreads) {
  constexpr std::size_t kThreads = 4, kQuestions = 500;
  using Words = std::array<std::size_t, 8>;
  Findings<Words> findings;
  std::array<std::vector<Words>, kThreads> taken;
  std::barrier begun(kThreads);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < kThreads; ++i)
    threads.emplace_back([&, i] {
      Words own;
      own.fill(i);
      begun.arrive_and_wait();
      for (std::size_t q = 0; q < kQuestions; ++q) {
        const auto found = findings.find({q});
        taken[i].push_back(found ? *found : findings.keep({q}, own));
      }
    });
  for (std::thread& thread : threads) thread.join();
  for (std::size_t q = 0; q < kQuestions; ++q) {
    const Words kept = *findings.find({q});
    EXPECT_LT(kept.front(), kThreads);
    for (const auto& words : taken) EXPECT_EQ(words[q], kept);
  }
}

}  // namespace
}  // namespace sheaf::kernels
