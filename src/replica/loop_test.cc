#include "replica/loop.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <cstring>
#include <semaphore>
#include <thread>

#include "channel/bell.h"
#include "channel/router_end.h"
#include "replica/fake_engine.h"

namespace sheaf::replica {
namespace {

using channel::Final;
using channel::Item;
using channel::Rows;

constexpr std::uint32_t kDimensions = 6;
constexpr std::uint32_t kVocabulary = 100, kTokenFloats = 5'000;  // 4 tokens take several frames
using Ids = std::vector<std::int32_t>;

// Holds each batch until the test lets it through.
class GatedEngine final : public engine::Engine {
 public:
  GatedEngine(FakeEngine& inner, std::counting_semaphore<>& started,
              std::counting_semaphore<>& allowed)
      : inner_(inner), started_(started), allowed_(allowed) {}
  const model::ModelSpec& spec() const override { return inner_.spec(); }
  std::string device() const override { return inner_.device(); }
  std::string dtype() const override { return inner_.dtype(); }
  Status embed(const engine::Batch& batch, engine::Rows& out) override {
    started_.release();
    allowed_.acquire();
    return inner_.embed(batch, out);
  }

 private:
  FakeEngine& inner_;
  std::counting_semaphore<>&started_, &allowed_;
};

// The loop on a thread of its own.
class LoopTest : public ::testing::Test {
 protected:
  LoopTest()
      : router_(std::move(
            *channel::RouterEnd::create({500, 50, kDimensions, kVocabulary, kTokenFloats}))),
        replica_(std::move(
            *channel::ReplicaEnd::open(router_.memory_fd(), Fd(::dup(router_.event_fd()))))),
        inner_({kDimensions, kVocabulary, kTokenFloats}, {1, &replica_.progress()}),
        engine_(inner_, started_, allowed_),
        thread_([this] { status_ = serve(replica_, engine_); }) {}

  // The loop ends only with its channel: sends it a frame of no known type.
  ~LoopTest() override {
    allowed_.release(1'000);
    const auto geometry = *channel::geometry_of(router_.limits());
    auto memory = std::move(
        *Mapping::map(router_.memory_fd(), geometry.total_bytes, Mapping::Access::read_write));
    auto& header = *reinterpret_cast<channel::SharedHeader*>(memory.data());
    const std::uint64_t head = header.submit_head.value;
    const channel::FrameHead frame{sizeof frame, 99};
    std::memcpy(memory.data() + channel::kHeaderBytes + head % geometry.submit_bytes, &frame,
                sizeof frame);
    header.submit_head.value = head + sizeof frame;
    channel::ring_replica(header, channel::Sleep::for_frames);
    thread_.join();
    EXPECT_FALSE(status_.ok());
  }

  bool submit(std::uint64_t batch, const std::vector<Ids>& texts,
              const std::vector<channel::Output>& outputs = {channel::Output::vector}) {
    std::vector<Item> items;
    for (std::size_t i = 0; i < texts.size(); ++i)
      items.push_back({.ids = texts[i], .output = outputs[i % outputs.size()]});
    const auto taken = router_.submit(batch, items);
    return taken.ok() && *taken;
  }
  // The end of the next batch; its rows are left in rows_.
  Final next_final() {
    rows_.clear();
    for (;;) {
      auto news = router_.receive();
      EXPECT_TRUE(news.ok());
      if (const auto* rows = std::get_if<Rows>(&*news)) {
        rows_.insert(rows_.end(), rows->values.begin(), rows->values.end());
      } else if (auto* final = std::get_if<Final>(&*news)) {
        return std::move(*final);
      } else if (router_.listen()) {
        pollfd waiting{router_.event_fd(), POLLIN, 0};
        EXPECT_EQ(::poll(&waiting, 1, 10'000), 1);
        std::uint64_t count;
        EXPECT_EQ(::read(router_.event_fd(), &count, sizeof count), sizeof count);
      }
    }
  }

  channel::RouterEnd router_;
  channel::ReplicaEnd replica_;
  FakeEngine inner_;
  std::counting_semaphore<> started_{0}, allowed_{0};
  GatedEngine engine_;
  std::vector<float> rows_;
  Status status_;
  std::thread thread_;
};

TEST_F(LoopTest, AnswersInOrderWithTheModelsVectors) {
  allowed_.release(3);
  for (std::int32_t i = 1; i <= 3; ++i)
    ASSERT_TRUE(submit(static_cast<std::uint64_t>(i), {{i}, {i, i}}));
  for (std::int32_t i = 1; i <= 3; ++i) {
    const Final final = next_final();
    EXPECT_EQ(final.batch, static_cast<std::uint64_t>(i));
    EXPECT_FALSE(final.failure);
    ASSERT_EQ(rows_.size(), 2 * kDimensions);
    for (std::size_t j = 0; j < kDimensions; ++j) {
      EXPECT_EQ(rows_[j], fake_value(Ids{i}, j));
      EXPECT_EQ(rows_[kDimensions + j], fake_value(Ids{i, i}, j));
    }
  }
  EXPECT_EQ(router_.progress(), 3u);
}

TEST_F(LoopTest, RowsOfAllKindsComeInTheirOrder) {
  using enum channel::Output;
  allowed_.release(1);
  const std::vector<Ids> texts = {{1}, {2, 3}, {7, 5, 7}, {4, 4, 4, 4}, {9}};
  ASSERT_TRUE(submit(1, texts, {vector, vector, sparse, tokens, vector}));
  EXPECT_FALSE(next_final().failure);
  std::vector<float> want;
  const auto add = [&](const Ids& ids, std::size_t floats) {
    for (std::size_t j = 0; j < floats; ++j) want.push_back(fake_value(ids, j));
  };
  add(texts[0], kDimensions);
  add(texts[1], kDimensions);
  const auto terms = fake_terms(texts[2]);
  want.insert(want.end(), terms.begin(), terms.end());
  add(texts[3], 4 * kTokenFloats);
  add(texts[4], kDimensions);
  EXPECT_EQ(rows_, want);
}

TEST_F(LoopTest, ABatchCancelledBeforeItsTurnIsNotRun) {
  ASSERT_TRUE(submit(1, {{1}}));
  started_.acquire();  // batch 1 is being computed
  ASSERT_TRUE(submit(2, {{2}}));
  ASSERT_TRUE(submit(3, {{3}}));
  ASSERT_TRUE(router_.cancel(2).ok());
  ASSERT_TRUE(router_.cancel(77).ok()) << "unknown batches are no harm";
  allowed_.release(2);
  EXPECT_EQ(next_final().batch, 1u);
  EXPECT_EQ(next_final().batch, 2u);
  EXPECT_TRUE(rows_.empty());
  EXPECT_EQ(next_final().batch, 3u);
  EXPECT_EQ(rows_.size(), kDimensions);
  EXPECT_EQ(router_.progress(), 2u);
}

TEST_F(LoopTest, ARefusalOfTheEngineFailsTheBatchAndNotTheLoop) {
  allowed_.release(2);
  ASSERT_TRUE(submit(1, {{1}, {-5}}));
  const Final failed = next_final();
  ASSERT_TRUE(failed.failure);
  EXPECT_EQ(failed.failure->code, ErrorCode::invalid_argument);
  EXPECT_NE(failed.failure->message.find("-5"), std::string::npos);
  EXPECT_TRUE(rows_.empty());
  ASSERT_TRUE(submit(2, {{1}}));
  EXPECT_FALSE(next_final().failure);
}

}  // namespace
}  // namespace sheaf::replica
