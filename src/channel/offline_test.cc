#include "channel/offline.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace sheaf::channel {
namespace {

constexpr Limits kLimits{100, 10, 4};

class OfflineTest : public ::testing::Test {
 protected:
  OfflineTest() {
    int ends[2];
    EXPECT_EQ(::pipe(ends), 0);
    out_.reset(ends[0]);
    in_.reset(ends[1]);
  }
  Fd in_, out_;
};

TEST_F(OfflineTest, HelloAndBatchAndReplyComeThrough) {
  ASSERT_TRUE(write_offline_hello(in_.get(), kLimits).ok());
  const auto limits = read_offline_hello(out_.get());
  ASSERT_TRUE(limits.ok());
  EXPECT_EQ(limits->row_floats, 4u);

  const std::vector<std::int32_t> first = {1, 2}, second = {3};
  const std::vector<Item> items = {{first, false, 2}, {second, true, 0}};
  ASSERT_TRUE(write_offline_batch(in_.get(), items).ok());
  const auto batch = read_offline_batch(out_.get(), kLimits);
  ASSERT_TRUE(batch.ok());
  EXPECT_EQ((*batch)->ids, (std::vector<std::int32_t>{1, 2, 3}));
  EXPECT_EQ((*batch)->cu_seqlens, (std::vector<std::uint32_t>{0, 2, 3}));
  EXPECT_FALSE((*batch)->options[0].normalize);
  EXPECT_EQ((*batch)->options[0].dimensions, 2u);

  const std::vector<float> values = {1, 2, 3, 4, 5, 6, 7, 8};
  ASSERT_TRUE(write_offline_reply(in_.get(), 99, std::vector<std::uint32_t>{4, 4}, values).ok());
  const auto reply = read_offline_reply(out_.get(), items, kLimits);
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(reply->compute_us, 99);
  EXPECT_EQ(reply->values, values);

  ASSERT_TRUE(write_offline_failure(in_.get(), Error{ErrorCode::invalid_argument, "no"}).ok());
  const auto failure = read_offline_reply(out_.get(), items, kLimits);
  ASSERT_FALSE(failure.ok());
  EXPECT_EQ(failure.error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(failure.error().message, "no");
}

TEST_F(OfflineTest, EndOfInputBetweenBatchesIsNoError) {
  in_.reset();
  const auto batch = read_offline_batch(out_.get(), kLimits);
  ASSERT_TRUE(batch.ok());
  EXPECT_FALSE(*batch);
}

TEST_F(OfflineTest, RefusesBatchesThatContradictThemselves) {
  for (const std::vector<std::uint32_t>& words : {std::vector<std::uint32_t>{0, 0},
                                                  {11, 11},
                                                  {1, 101},
                                                  {1, 2, 3, 0, 0, 0, 0},
                                                  {1, 2, 0, 0, 0, 0, 0},
                                                  {1, 2, 2, 0, 0, 2, 0, 5, 5},
                                                  {1, 2, 2, 0, 0, 0, 1, 5, 5},
                                                  {1, 2, 2, 5, 0, 0, 0, 5, 5},
                                                  {2, 4, 1, 0, 0, 0, 0, 2, 0, 0, 0, 0},
                                                  {1},
                                                  {1, 2, 2, 0, 0, 0, 0, 7}}) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const Fd out(ends[0]);
    Fd in(ends[1]);
    ASSERT_GT(::write(in.get(), words.data(), words.size() * 4), 0);
    in.reset();
    EXPECT_FALSE(read_offline_batch(out.get(), kLimits).ok()) << words.size();
  }
}

}  // namespace
}  // namespace sheaf::channel
