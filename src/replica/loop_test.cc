#include "replica/loop.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>
#include <semaphore>
#include <set>
#include <thread>
#include <vector>

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

// The router's end of a loop that runs on a thread of its own.
class AnyLoopTest : public ::testing::Test {
 protected:
  AnyLoopTest()
      : router_(std::move(
            *channel::RouterEnd::create({500, 50, kDimensions, kVocabulary, kTokenFloats}))),
        replica_(std::move(
            *channel::ReplicaEnd::open(router_.memory_fd(), Fd(::dup(router_.event_fd()))))) {}

  // The loop ends only with its channel: sends it a frame of no known type.
  void end_loop() {
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
  std::vector<float> rows_;
  Status status_;
  std::thread thread_;
};

class LoopTest : public AnyLoopTest {
 protected:
  LoopTest()
      : inner_({kDimensions, kVocabulary, kTokenFloats}, {1, &replica_.progress()}),
        engine_(inner_, started_, allowed_) {
    thread_ = std::thread([this] { status_ = serve(replica_, engine_); });
  }
  ~LoopTest() override {
    allowed_.release(1'000);
    end_loop();
  }

  FakeEngine inner_;
  std::counting_semaphore<> started_{0}, allowed_{0};
  GatedEngine engine_;
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

// Which batches, by the first id of their first text, may end.
class Gate {
 public:
  void open(std::int32_t id) {
    const std::lock_guard lock(mutex_);
    open_.insert(id);
    changed_.notify_all();
  }
  void pass(std::int32_t id) {
    std::unique_lock lock(mutex_);
    waiting_.insert(id);
    changed_.notify_all();
    changed_.wait(lock, [&] { return open_.contains(id); });
    waiting_.erase(id);
  }
  void await(std::int32_t id) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return waiting_.contains(id); });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<std::int32_t> open_, waiting_;
};

constexpr std::int32_t kFailing = 66;  // a batch that its device does not survive

class LaneEngine final : public engine::Engine {
 public:
  LaneEngine(Gate& gate, std::atomic<std::uint64_t>* progress)
      : inner_({kDimensions, kVocabulary, kTokenFloats}, {1, progress}), gate_(gate) {}
  const model::ModelSpec& spec() const override { return inner_.spec(); }
  std::string device() const override { return inner_.device(); }
  std::string dtype() const override { return inner_.dtype(); }
  Status status() const override { return status_; }
  Status embed(const engine::Batch& batch, engine::Rows& out) override {
    SHEAF_TRY(inner_.embed(batch, out));
    gate_.pass(batch.ids[0]);
    if (batch.ids[0] == kFailing) status_ = Error{ErrorCode::internal, "the card failed"};
    return status_;
  }

 private:
  FakeEngine inner_;
  Gate& gate_;
  Status status_;
};

class LanesTest : public AnyLoopTest {
 protected:
  LanesTest() {
    for (int i = 0; i < 2; ++i) {
      auto progress = std::make_unique<std::atomic<std::uint64_t>>(0);
      auto engine = std::make_unique<LaneEngine>(gate_, progress.get());
      lanes_.push_back({std::move(progress), nullptr, std::move(engine)});
    }
    thread_ = std::thread([this] {
      status_ = serve(replica_, lanes_, [this](const Error& error) {
        failed_ = error.message;
        has_failed_.release();
      });
    });
  }
  ~LanesTest() override {
    if (thread_.joinable()) end_loop();
  }

  bool progress_passes(std::uint64_t before) {
    for (int i = 0; i < 10'000 && router_.progress() <= before; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return router_.progress() > before;
  }

  Gate gate_;
  std::vector<EngineLane> lanes_;
  std::string failed_;
  std::binary_semaphore has_failed_{0};
};

TEST_F(LanesTest, BatchesRunSideBySideAndEndAsTheyAreDone) {
  for (std::int32_t i = 1; i <= 3; ++i)
    ASSERT_TRUE(submit(static_cast<std::uint64_t>(i), {{i}, {i, i}}));
  gate_.await(1);
  gate_.await(2);
  gate_.open(2);
  EXPECT_EQ(next_final().batch, 2u);
  ASSERT_EQ(rows_.size(), 2 * kDimensions);
  EXPECT_EQ(rows_[kDimensions], fake_value(Ids{2, 2}, 0));
  gate_.await(3);  // in the lane of the second; the first is still under way
  gate_.open(3);
  EXPECT_EQ(next_final().batch, 3u);
  gate_.open(1);
  EXPECT_EQ(next_final().batch, 1u);
  ASSERT_EQ(rows_.size(), 2 * kDimensions);
  EXPECT_EQ(rows_[kDimensions], fake_value(Ids{1, 1}, 0));
}

TEST_F(LanesTest, WhatOthersDoIsNoProgressOfOneThatHangs) {
  gate_.open(2);
  ASSERT_TRUE(submit(1, {{1}}));
  gate_.await(1);
  for (std::uint64_t batch = 2; batch < 6; ++batch) {
    ASSERT_TRUE(submit(batch, {{2}}));
    EXPECT_EQ(next_final().batch, batch);
  }
  ASSERT_TRUE(progress_passes(0)) << "the first one's, from before it hung";
  const std::uint64_t before = router_.progress();
  for (std::uint64_t batch = 6; batch < 40; ++batch) {
    ASSERT_TRUE(submit(batch, {{2}}));
    EXPECT_EQ(next_final().batch, batch);
  }
  EXPECT_LE(router_.progress(), before + 1);
  gate_.open(1);
  EXPECT_EQ(next_final().batch, 1u);
  ASSERT_TRUE(submit(50, {{1}}));
  EXPECT_EQ(next_final().batch, 50u);
}

TEST_F(LanesTest, ABatchCancelledBeforeItsTurnIsNotRun) {
  for (std::int32_t i = 1; i <= 3; ++i) ASSERT_TRUE(submit(static_cast<std::uint64_t>(i), {{i}}));
  gate_.await(1);
  gate_.await(2);
  ASSERT_TRUE(router_.cancel(3).ok());
  gate_.open(1);
  EXPECT_EQ(next_final().batch, 1u);
  EXPECT_EQ(next_final().batch, 3u);
  EXPECT_TRUE(rows_.empty());
  gate_.open(2);
  EXPECT_EQ(next_final().batch, 2u);
}

// Two batches, many times: no answer is lost, or another's.
TEST_F(LanesTest, NothingIsLostOrCrossed) {
  for (std::int32_t id = 0; id < 50; ++id) gate_.open(id);
  constexpr std::uint64_t kBatches = 2'000;
  std::uint64_t sent = 0;
  for (std::uint64_t ended = 0; ended < kBatches; ++ended) {
    for (; sent < kBatches && sent < ended + 3; ++sent)
      ASSERT_TRUE(submit(sent, {{static_cast<std::int32_t>(sent % 50), 7}}));
    const Final final = next_final();
    ASSERT_FALSE(final.failure);
    ASSERT_EQ(rows_.size(), kDimensions);
    ASSERT_EQ(rows_[0], fake_value(Ids{static_cast<std::int32_t>(final.batch % 50), 7}, 0));
  }
}

TEST_F(LanesTest, ADeviceThatFailsEndsAllWhateverOthersCompute) {
  gate_.open(kFailing);
  ASSERT_TRUE(submit(1, {{1}}));
  gate_.await(1);
  ASSERT_TRUE(submit(2, {{kFailing}}));
  has_failed_.acquire();
  EXPECT_EQ(failed_, "the card failed");
  gate_.open(1);  // it computed until now
  thread_.join();
  ASSERT_FALSE(status_.ok());
  EXPECT_EQ(status_.error().message, "the card failed");
}

}  // namespace
}  // namespace sheaf::replica
