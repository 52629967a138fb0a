#include "core/batcher.h"

#include <gtest/gtest.h>

namespace sheaf::core {
namespace {

ModelOptions options(std::uint32_t max_batch_tokens, std::uint32_t max_length = 512) {
  ModelOptions made;
  made.max_batch_tokens = max_batch_tokens;
  made.max_length = max_length;
  return made;
}

TEST(Batcher, BudgetIsWhatTheTargetTimeAllowsWithinLimits) {
  struct Case {
    const char* what;
    std::uint32_t configured;
    double tokens_per_s;
    std::uint64_t replica_limit;
    std::uint64_t budget;
  };
  for (const Case& c : {Case{"learnt", 0, 20'000, 16'384, 2'000},
                        Case{"at least one text of maximum length", 0, 1'000, 16'384, 512},
                        Case{"at most what the replica holds", 0, 900'000, 16'384, 16'384},
                        Case{"configured", 1'024, 900'000, 16'384, 1'024},
                        Case{"configured below a text", 100, 900'000, 16'384, 512}})
    EXPECT_EQ(batch_budget(options(c.configured), Rate(c.tokens_per_s), c.replica_limit), c.budget)
        << c.what;
}

TEST(Batcher, FillsInOrderUpToItsLimits) {
  struct Case {
    const char* what;
    BatchLimit limit;
    std::vector<std::uint32_t> lengths;
    std::size_t taken;
  };
  for (const Case& c : {
           Case{"tokens", {100, 1'000, 10}, {40, 40, 40}, 2},
           Case{"items", {1'000, 1'000, 2}, {10, 10, 10}, 2},
           Case{"a share is rounded to the nearest item", {1'000, 100, 10}, {60, 60, 60}, 2},
           Case{"a share is rounded down too", {1'000, 100, 10}, {80, 60, 60}, 1},
           Case{"never nothing", {10, 10, 10}, {500, 1}, 1},
           Case{"no gap is filled out of order", {100, 1'000, 10}, {60, 60, 10}, 1},
           Case{"all there is", {1'000, 1'000, 10}, {10, 10}, 2},
           Case{"nothing of nothing", {1'000, 1'000, 10}, {}, 0},
       }) {
    Queue queue;
    std::vector<QueuedItem> items;
    for (std::uint32_t i = 0; i < c.lengths.size(); ++i) items.push_back({{1, i}, c.lengths[i]});
    queue.push({0, 1, 1}, items);
    const std::vector<QueuedItem> batch = fill_batch(queue, c.limit);
    ASSERT_EQ(batch.size(), c.taken) << c.what;
    for (std::uint32_t i = 0; i < batch.size(); ++i) EXPECT_EQ(batch[i].ref.index, i) << c.what;
    EXPECT_EQ(queue.items(), c.lengths.size() - c.taken) << c.what;
  }
}

}  // namespace
}  // namespace sheaf::core
