#include "channel/ring.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "base/mapping.h"

namespace sheaf::channel {
namespace {

constexpr std::size_t kCapacity = 4096;

// Both sides of one ring, and its memory as a hostile peer sees it.
class RingTest : public ::testing::Test {
 protected:
  RingTest()
      : fd_(std::move(*make_memfd("ring", kCapacity))),
        peer_(std::move(*Mapping::map(fd_.get(), kCapacity, Mapping::Access::read_write))),
        writer_(map(), head_, tail_),
        reader_(map(), head_, tail_) {}

  MirroredMapping map() { return std::move(*MirroredMapping::map(fd_.get(), 0, kCapacity)); }

  bool write(const std::string& text) {
    const auto space = writer_.reserve(FrameType::submit, text.size());
    EXPECT_TRUE(space.ok());
    if (!*space) return false;
    std::memcpy((*space)->data(), text.data(), text.size());
    writer_.publish();
    return true;
  }
  std::optional<std::string> read(std::size_t bytes) {
    const auto frame = reader_.peek();
    EXPECT_TRUE(frame.ok());
    if (!*frame) return std::nullopt;
    EXPECT_EQ((*frame)->type, FrameType::submit);
    std::string text(reinterpret_cast<const char*>((*frame)->body.data()), bytes);
    reader_.release();
    return text;
  }

  Fd fd_;
  Mapping peer_;
  std::atomic<std::uint64_t> head_ = 0, tail_ = 0;
  RingWriter writer_;
  RingReader reader_;
};

TEST_F(RingTest, FramesSurviveManyTurnsOfTheRing) {
  std::mt19937 random(1);
  std::vector<std::string> sent;
  std::size_t received = 0;
  for (int step = 0; step < 20'000; ++step) {
    if (random() % 2 == 0) {
      std::string text(random() % 900, static_cast<char>('a' + step % 26));
      if (write(text)) sent.push_back(std::move(text));
    } else if (received < sent.size()) {
      ASSERT_EQ(read(sent[received].size()), sent[received]);
      ++received;
    } else {
      ASSERT_EQ(read(0), std::nullopt);
    }
  }
  EXPECT_GT(head_.load(), 100 * kCapacity);
}

TEST_F(RingTest, IsFullAtItsCapacityAndNotBefore) {
  const std::string whole(kCapacity - sizeof(FrameHead), 'x');
  for (int turn = 0; turn < 3; ++turn) {
    ASSERT_TRUE(write(whole));
    EXPECT_FALSE(write(""));
    EXPECT_EQ(read(whole.size()), whole);
    EXPECT_TRUE(write("a"));
    EXPECT_FALSE(write(whole));
    EXPECT_EQ(read(1), "a");
  }
}

TEST_F(RingTest, AnUnpublishedFrameIsNotThere) {
  ASSERT_TRUE(writer_.reserve(FrameType::submit, 10).ok());
  EXPECT_EQ(read(0), std::nullopt);
  ASSERT_TRUE(write("b"));
  EXPECT_EQ(read(1), "b");
}

TEST_F(RingTest, ReaderRefusesImpossibleHeads) {
  ASSERT_TRUE(write("a"));
  ASSERT_EQ(read(1), "a");
  const std::uint64_t position = tail_;
  for (const std::uint64_t head : {position - 8, position + kCapacity + 8, position + 4,
                                   std::uint64_t{0}, ~std::uint64_t{0}}) {
    head_ = head;
    EXPECT_FALSE(reader_.peek().ok()) << head;
  }
}

TEST_F(RingTest, WriterRefusesImpossibleTails) {
  ASSERT_TRUE(write("a"));
  for (const std::uint64_t tail :
       {std::uint64_t{4}, std::uint64_t{24}, ~std::uint64_t{0}, std::uint64_t{1} << 40}) {
    tail_ = tail;
    EXPECT_FALSE(writer_.reserve(FrameType::submit, 8).ok()) << tail;
  }
}

TEST_F(RingTest, ReaderRefusesImpossibleFrameSizes) {
  ASSERT_TRUE(write("abcdefgh"));
  for (const std::uint32_t bytes : {0u, 7u, 9u, 24u, 4096u, 0xffffffffu, 0xfffffff8u}) {
    std::memcpy(peer_.data(), &bytes, sizeof bytes);
    EXPECT_FALSE(reader_.peek().ok()) << bytes;
  }
}

// Each side's own position is private: overwriting the published copy moves nothing.
TEST_F(RingTest, OwnPositionsAreNotReadBack) {
  ASSERT_TRUE(write("a"));
  head_ = 4000;
  ASSERT_TRUE(write("b"));
  EXPECT_EQ(read(1), "a");
  tail_ = 8;
  EXPECT_EQ(read(1), "b");
  EXPECT_EQ(tail_, head_);
}

}  // namespace
}  // namespace sheaf::channel
