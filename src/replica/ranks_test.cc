#include "replica/ranks.h"

#include <gtest/gtest.h>

#include <cstring>
#include <thread>

#include "base/fd.h"
#include "base/mapping.h"
#include "kernels/ranks/shared_communicator.h"
#include "replica/fake_engine.h"

namespace sheaf::replica {
namespace {

const std::vector<std::int32_t> kIds = {5, 6, 7, 29'999, 1};
const std::vector<std::uint32_t> kBounds = {0, 3, 5};
const std::vector<engine::ItemOptions> kOptions = {
    {.normalize = false, .dimensions = 3, .second_at = 2},
    {.normalize = true, .output = model::Output::tokens}};

TEST(RankMessages, AreReadBack) {
  const auto message = message_of({kIds, kBounds, kOptions});
  const auto batch = batch_of(message);
  ASSERT_TRUE(batch.ok()) << batch.error().message;
  EXPECT_EQ(batch->ids, kIds);
  EXPECT_EQ(batch->cu_seqlens, kBounds);
  ASSERT_EQ(batch->options.size(), 2u);
  EXPECT_FALSE(batch->options[0].normalize);
  EXPECT_EQ(batch->options[0].dimensions, 3u);
  EXPECT_EQ(batch->options[0].second_at, 2u);
  EXPECT_TRUE(batch->options[1].normalize);
  EXPECT_EQ(batch->options[1].output, model::Output::tokens);
  EXPECT_TRUE(batch_of(message_of({{}, {}, {}})).ok());
}

TEST(RankMessages, OfAnotherLengthAreNone) {
  const auto message = message_of({kIds, kBounds, kOptions});
  for (std::size_t bytes = 0; bytes < message.size(); ++bytes)
    EXPECT_FALSE(batch_of(std::span(message).first(bytes)).ok()) << bytes;
  auto longer = message;
  longer.push_back(std::byte{0});
  EXPECT_FALSE(batch_of(longer).ok());
  auto huge = message;
  const std::uint32_t most = 0xffffffff;
  std::memcpy(huge.data() + 4, &most, sizeof most);
  const auto refused = batch_of(huge);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::corrupt);
}

TEST(RankMessages, WithAnOutputThatIsNoneAreRefused) {
  auto message = message_of({kIds, kBounds, kOptions});
  message[message.size() - 3] = std::byte{9};
  const auto refused = batch_of(message);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().message, "a batch from the first rank asks for output 9");
}

// The first answers; the other runs the same batches, refuses the same, and ends with the group.
TEST(Ranks, RunTheSameBatches) {
  const std::size_t bytes = kernels::shared_group_bytes(2);
  const auto memory = make_memfd("ranks_test", bytes);
  const auto join = [&](std::size_t rank) {
    auto mapping = Mapping::map(memory->get(), bytes, Mapping::Access::read_write);
    return std::move(*kernels::join_shared_group(std::move(*mapping), rank, {2}));
  };
  std::atomic<std::uint64_t> progress = 0;
  Status ended;
  std::thread other([&] {
    const auto group = join(1);
    FakeEngine engine({.dimensions = 4}, {.progress = &progress});
    ended = group->meet();
    if (ended.ok()) ended = follow(engine, *group);
  });
  {
    const auto group = join(0);
    ASSERT_TRUE(group->meet().ok());
    const auto engine = make_first_rank(
        std::make_unique<FakeEngine>(FakeShape{.dimensions = 4}, engine::EngineOptions{}), *group);
    engine::Rows rows;
    const std::vector<engine::ItemOptions> plain(2);
    ASSERT_TRUE(engine->embed({kIds, kBounds, plain}, rows).ok());
    EXPECT_EQ(rows.size(), 2u);
    const std::vector<std::int32_t> wrong = {5, 6, 7, 40'000, 1};
    EXPECT_FALSE(engine->embed({wrong, kBounds, plain}, rows).ok());
    EXPECT_TRUE(engine->status().ok());
    EXPECT_TRUE(engine->embed({kIds, kBounds, plain}, rows).ok());
  }
  other.join();
  ASSERT_FALSE(ended.ok());
  EXPECT_EQ(ended.error().code, ErrorCode::unavailable);
  EXPECT_GE(progress.load(), 2u);
}

}  // namespace
}  // namespace sheaf::replica
