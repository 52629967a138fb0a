#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <random>
#include <thread>

#include "base/clock.h"
#include "channel/replica_end.h"
#include "channel/router_end.h"

namespace sheaf::channel {
namespace {

constexpr std::uint32_t kStride = 16;

// Both ends in one process, and the shared memory as the peer of either sees it.
class ChannelTest : public ::testing::Test {
 protected:
  explicit ChannelTest(Limits limits = {1'000, 100, kStride})
      : router_(std::move(*RouterEnd::create(limits))),
        replica_(std::move(*ReplicaEnd::open(router_.memory_fd(), Fd(::dup(router_.event_fd()))))),
        geometry_(*geometry_of(limits)),
        memory_(std::move(*Mapping::map(router_.memory_fd(), geometry_.total_bytes,
                                        Mapping::Access::read_write))) {
    EXPECT_TRUE(router_.listen());
  }

  SharedHeader& header() { return *reinterpret_cast<SharedHeader*>(memory_.data()); }
  std::byte* submit_ring() { return memory_.data() + kHeaderBytes; }
  std::byte* result_ring() { return submit_ring() + geometry_.submit_bytes; }

  // Writes a frame as a hostile peer would, at the start of a ring that has not been used.
  template <class Body>
  void forge(std::byte* ring, std::atomic<std::uint64_t>& head, FrameType type, const Body& body,
             std::size_t extra_bytes) {
    const std::size_t bytes = (sizeof(FrameHead) + sizeof body + extra_bytes + 7) / 8 * 8;
    const FrameHead frame{static_cast<std::uint32_t>(bytes), static_cast<std::uint32_t>(type)};
    std::memcpy(ring, &frame, sizeof frame);
    std::memcpy(ring + sizeof frame, &body, sizeof body);
    head = bytes;
  }
  template <class Body>
  Result<RouterEnd::Received> router_reads(FrameType type, const Body& body, std::size_t extra) {
    forge(result_ring(), header().result_head.value, type, body, extra);
    return router_.receive();
  }
  template <class Body>
  Result<ReplicaEnd::Received> replica_reads(FrameType type, const Body& body, std::size_t extra) {
    forge(submit_ring(), header().submit_head.value, type, body, extra);
    return replica_.receive();
  }

  bool router_was_rung() {
    std::uint64_t count;
    return ::read(router_.event_fd(), &count, sizeof count) == sizeof count;
  }

  RouterEnd router_;
  ReplicaEnd replica_;
  Geometry geometry_;
  Mapping memory_;
};

TEST_F(ChannelTest, CarriesABatchThereAndItsRowsBack) {
  const std::vector<std::int32_t> first = {1, 2, 3}, second = {4};
  const std::vector<Item> items = {{first, true, 0}, {second, false, 7}};
  ASSERT_TRUE(*router_.submit(42, items));
  ASSERT_TRUE(*router_.cancel(42));

  auto received = replica_.receive();
  ASSERT_TRUE(received.ok());
  const auto& submission = std::get<Submission>(*received);
  EXPECT_EQ(submission.batch, 42u);
  EXPECT_EQ(submission.ids, (std::vector<std::int32_t>{1, 2, 3, 4}));
  EXPECT_EQ(submission.cu_seqlens, (std::vector<std::uint32_t>{0, 3, 4}));
  EXPECT_TRUE(submission.options[0].normalize);
  EXPECT_FALSE(submission.options[1].normalize);
  EXPECT_EQ(submission.options[1].dimensions, 7u);
  EXPECT_EQ(std::get<Cancel>(*replica_.receive()).batch, 42u);
  EXPECT_TRUE(std::holds_alternative<std::monostate>(*replica_.receive()));

  std::vector<float> values(2 * kStride);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  ASSERT_TRUE(replica_.send_rows(42, 0, 2, values).ok());
  ASSERT_TRUE(replica_.send_final(42, 1234, nullptr).ok());
  EXPECT_TRUE(router_was_rung());

  auto news = router_.receive();
  const auto& rows = std::get<Rows>(*news);
  EXPECT_EQ(rows.batch, 42u);
  EXPECT_EQ(rows.first_item, 0u);
  EXPECT_EQ(rows.items, 2u);
  EXPECT_TRUE(std::equal(values.begin(), values.end(), rows.values.begin(), rows.values.end()));
  news = router_.receive();
  EXPECT_EQ(std::get<Final>(*news).compute_us, 1234);
  EXPECT_FALSE(std::get<Final>(*news).failure);
  EXPECT_TRUE(std::holds_alternative<std::monostate>(*router_.receive()));
}

TEST_F(ChannelTest, CarriesAFailureCutToItsBound) {
  const Error error{ErrorCode::invalid_argument, std::string(5'000, 'e')};
  ASSERT_TRUE(replica_.send_final(1, 0, &error).ok());
  const auto news = router_.receive();
  const auto& failure = std::get<Final>(*news).failure;
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->code, ErrorCode::invalid_argument);
  EXPECT_EQ(failure->message, std::string(kMaxMessageBytes, 'e'));
}

TEST_F(ChannelTest, RefusesBatchesBeyondItsLimits) {
  const std::vector<std::int32_t> ids(1'001, 1);
  EXPECT_EQ(router_.submit(1, std::vector<Item>{{ids}}).error().code, ErrorCode::invalid_argument);
  EXPECT_FALSE(router_.submit(1, std::vector<Item>{}).ok());
  EXPECT_FALSE(router_.submit(1, std::vector<Item>(101, {std::span(ids).first(1), true, 0})).ok());
  EXPECT_TRUE(router_.submit(1, std::vector<Item>{{std::span(ids).first(1'000)}}).ok());
}

TEST_F(ChannelTest, AFullRingSaysSoAndTakesMoreOnceRead) {
  const std::vector<std::int32_t> ids(1'000, 1);
  const std::vector<Item> items = {{ids}};
  int taken = 0;
  while (*router_.submit(static_cast<std::uint64_t>(taken), items)) ++taken;
  EXPECT_GE(taken, 8);
  ASSERT_TRUE(replica_.receive().ok());
  EXPECT_TRUE(*router_.submit(99, items));
}

TEST_F(ChannelTest, RingsTheRouterOnlyWhenItListens) {
  ASSERT_TRUE(replica_.send_final(1, 0, nullptr).ok());
  EXPECT_TRUE(router_was_rung());
  ASSERT_TRUE(replica_.send_final(2, 0, nullptr).ok());
  EXPECT_FALSE(router_was_rung()) << "it is awake";
  EXPECT_FALSE(router_.listen()) << "there are news already";
  while (!std::holds_alternative<std::monostate>(*router_.receive())) {
  }
  EXPECT_TRUE(router_.listen());
  ASSERT_TRUE(replica_.send_final(3, 0, nullptr).ok());
  EXPECT_TRUE(router_was_rung());
}

TEST(ChannelRing, HasRoomForAsManyBatchesAsAreEverInFlight) {
  for (const std::uint32_t tokens :
       {1'000u, 16'384u, 18'944u, 22'500u, 32'768u, 49'152u, 65'536u}) {
    const Limits limits{tokens, 4'096, 384};
    RouterEnd router = std::move(*RouterEnd::create(limits));
    const std::size_t others = tokens < limits.max_batch_items ? 0 : limits.max_batch_items - 1;
    const std::vector<std::int32_t> ids(tokens - others, 7);
    std::vector<Item> items(limits.max_batch_items, {.ids = std::span(ids).first(1)});
    items.front().ids = ids;
    items.resize(others + 1);
    for (int batch = 0; batch <= kLanesMax; ++batch) {
      const auto taken = router.submit(static_cast<std::uint64_t>(batch), items);
      ASSERT_TRUE(taken.ok() && *taken) << tokens << " tokens, batch " << batch;
    }
  }
}

TEST_F(ChannelTest, AReplicaIsWokenByItself) {
  std::uint32_t bell = replica_.bell();
  replica_.wake();
  replica_.wait(bell);  // has been rung: does not sleep
  bell = replica_.bell();
  replica_.wait(bell, 1'000);  // nobody rings
  std::thread other([this] { replica_.wake(); });
  replica_.wait(bell);
  other.join();
  EXPECT_NE(replica_.bell(), bell);
}

// Two threads, rings much smaller than what goes through them: no frame lost, no wake-up lost.
TEST_F(ChannelTest, NothingIsLostBetweenTwoThreads) {
  constexpr std::uint64_t kBatches = 3'000;
  std::thread replica([this] {
    for (std::uint64_t done = 0; done < kBatches;) {
      const std::uint32_t bell = replica_.bell();
      auto received = replica_.receive();
      ASSERT_TRUE(received.ok());
      const auto* submission = std::get_if<Submission>(&*received);
      if (submission == nullptr) {
        replica_.wait(bell);
        continue;
      }
      const std::size_t items = submission->options.size();
      std::vector<float> values(items * kStride, static_cast<float>(submission->ids[0]));
      ASSERT_TRUE(
          replica_.send_rows(submission->batch, 0, static_cast<std::uint32_t>(items), values).ok());
      ASSERT_TRUE(replica_.send_final(submission->batch, 1, nullptr).ok());
      ++done;
    }
  });

  std::mt19937 random(7);
  std::uint64_t sent = 0, ended = 0;
  std::vector<std::uint32_t> rows_of(kBatches);
  while (ended < kBatches) {
    std::vector<std::int32_t> ids(1 + random() % 10, static_cast<std::int32_t>(sent));
    std::vector<Item> items(1 + random() % 100, {ids, true, 0});
    if (sent < kBatches && *router_.submit(sent, items))
      rows_of[sent++] = static_cast<std::uint32_t>(items.size());

    auto news = router_.receive();
    ASSERT_TRUE(news.ok());
    if (const auto* rows = std::get_if<Rows>(&*news)) {
      for (const float value : rows->values) ASSERT_EQ(value, static_cast<float>(rows->batch));
      rows_of[rows->batch] -= rows->items;
    } else if (const auto* final = std::get_if<Final>(&*news)) {
      ASSERT_EQ(final->batch, ended++);
      ASSERT_EQ(rows_of[final->batch], 0u);
    } else if (sent == kBatches && router_.listen()) {
      pollfd waiting{router_.event_fd(), POLLIN, 0};
      ASSERT_EQ(::poll(&waiting, 1, 10'000), 1) << "a wake-up was lost";
      router_was_rung();
    }
  }
  replica.join();
}

// Rows that fill several frames, none, and many small ones of many items.
TEST_F(ChannelTest, CarriesRowsOfAnyLength) {
  const std::size_t lengths[] = {0, 1, 16'000, 16'376, 16'377, 70'001, 3};
  std::thread replica([&] {
    for (std::size_t i = 0; i < std::size(lengths); ++i) {
      std::vector<float> row(lengths[i]);
      for (std::size_t j = 0; j < row.size(); ++j) row[j] = static_cast<float>(i + j);
      ASSERT_TRUE(replica_.send_rows(9, static_cast<std::uint32_t>(i), 1, row).ok());
    }
    ASSERT_TRUE(replica_.send_rows(9, 7, 3, std::vector<float>(3 * 9'000, 5)).ok());
    ASSERT_TRUE(replica_.send_final(9, 1, nullptr).ok());
  });
  std::vector<std::vector<float>> got(10);
  std::vector<bool> whole(10);
  for (bool ended = false; !ended;) {
    const auto news = router_.receive();
    ASSERT_TRUE(news.ok()) << news.error().message;
    if (const auto* rows = std::get_if<Rows>(&*news)) {
      for (std::uint32_t i = 0; i < rows->items; ++i) {
        const std::uint32_t item = rows->first_item + i;
        ASSERT_FALSE(whole[item]);
        const auto part = rows->values.subspan(std::size_t{i} * rows->stride, rows->stride);
        got[item].insert(got[item].end(), part.begin(), part.end());
        whole[item] = !rows->more;
      }
    } else if (std::get_if<Final>(&*news) != nullptr) {
      ended = true;
    } else if (router_.listen()) {
      pollfd waiting{router_.event_fd(), POLLIN, 0};
      ASSERT_EQ(::poll(&waiting, 1, 10'000), 1) << "a wake-up was lost";
      router_was_rung();
    }
  }
  replica.join();
  EXPECT_EQ(std::count(whole.begin(), whole.end(), true), 10);
  for (std::size_t i = 0; i < std::size(lengths); ++i) {
    ASSERT_EQ(got[i].size(), lengths[i]);
    for (std::size_t j = 0; j < lengths[i]; ++j) ASSERT_EQ(got[i][j], static_cast<float>(i + j));
  }
  for (std::size_t i = 7; i < 10; ++i) EXPECT_EQ(got[i], std::vector<float>(9'000, 5));
}

TEST(Layout, BoundsEachKindOfRow) {
  const Limits limits{.row_floats = 8, .sparse_terms = 100, .token_floats = 5};
  EXPECT_TRUE(is_row(limits, Output::vector, 3, 8));
  EXPECT_FALSE(is_row(limits, Output::vector, 3, 7));
  EXPECT_TRUE(is_row(limits, Output::sparse, 3, 0));
  EXPECT_TRUE(is_row(limits, Output::sparse, 3, 200));
  EXPECT_FALSE(is_row(limits, Output::sparse, 3, 202));
  EXPECT_FALSE(is_row(limits, Output::sparse, 3, 3));
  EXPECT_TRUE(is_row(limits, Output::tokens, 3, 10));
  EXPECT_FALSE(is_row(limits, Output::tokens, 3, 20));
  EXPECT_FALSE(is_row(limits, Output::tokens, 3, 11));
  const auto terms = [&](std::vector<float> row) { return are_terms(limits, row); };
  EXPECT_TRUE(terms({}));
  EXPECT_TRUE(terms({0, 1, 99, 2}));
  EXPECT_FALSE(terms({100, 1}));
  EXPECT_FALSE(terms({5, 1, 5, 1}));
  EXPECT_FALSE(terms({-1, 1}));
  EXPECT_FALSE(terms({1.5f, 1}));
  EXPECT_FALSE(terms({std::nanf(""), 1}));
  EXPECT_FALSE(terms({1}));
}

// ---- hostile peers

TEST_F(ChannelTest, TheFileCannotBeShrunk) {
  EXPECT_NE(::ftruncate(router_.memory_fd(), 0), 0);
  EXPECT_NE(::ftruncate(router_.memory_fd(), 1 << 30), 0);
}

TEST_F(ChannelTest, RouterRefusesRowsThatClaimMoreThanTheirFrame) {
  EXPECT_FALSE(router_reads(FrameType::rows, RowsBody{1, 0, 2, kStride, 0}, kStride * 4).ok());
}
TEST_F(ChannelTest, RouterRefusesRowsWhoseProductWraps) {
  EXPECT_FALSE(router_reads(FrameType::rows, RowsBody{1, 0, 0x10000, 0x10000, 0}, 64).ok());
}
TEST_F(ChannelTest, RouterRefusesNoRows) {
  EXPECT_FALSE(router_reads(FrameType::rows, RowsBody{1, 0, 0, kStride, 0}, 64).ok());
}
TEST_F(ChannelTest, RouterRefusesSeveralRowsOfWhichOneGoesOn) {
  EXPECT_FALSE(router_reads(FrameType::rows, RowsBody{1, 0, 2, 4, 1}, 64).ok());
}
TEST_F(ChannelTest, RouterRefusesPartsOfNothing) {
  EXPECT_FALSE(router_reads(FrameType::rows, RowsBody{1, 0, 1, 0, 1}, 64).ok());
}
TEST_F(ChannelTest, RouterRefusesUnknownFlagsOfRows) {
  EXPECT_FALSE(router_reads(FrameType::rows, RowsBody{1, 0, 1, 4, 2}, 64).ok());
}
TEST_F(ChannelTest, RouterRefusesUnknownFrames) {
  EXPECT_FALSE(router_reads(FrameType::submit, RowsBody{1, 0, 1, kStride, 0}, 64).ok());
}
TEST_F(ChannelTest, RouterRefusesFramesShorterThanTheirBody) {
  EXPECT_FALSE(router_reads(FrameType::final, CancelBody{1}, 0).ok());
}
TEST_F(ChannelTest, RouterRefusesMessagesBeyondTheFrame) {
  EXPECT_FALSE(router_reads(FrameType::final, FinalBody{1, 0, 1, 0, 1'000, 0}, 8).ok());
}
TEST_F(ChannelTest, RouterRefusesUnknownErrorCodes) {
  EXPECT_FALSE(router_reads(FrameType::final, FinalBody{1, 0, 1, 999, 0, 0}, 0).ok());
}
TEST_F(ChannelTest, RouterRefusesAbsurdTimes) {
  EXPECT_FALSE(router_reads(FrameType::final, FinalBody{1, ~0ull, 0, 0, 0, 0}, 0).ok());
}
TEST_F(ChannelTest, RouterRefusesCorruptPositions) {
  header().result_head.value = 12'345;
  EXPECT_FALSE(router_.receive().ok());
  header().submit_tail.value = 8;
  const std::vector<std::int32_t> ids = {1};
  EXPECT_EQ(router_.submit(1, std::vector<Item>{{ids}}).error().code, ErrorCode::corrupt);
}

TEST_F(ChannelTest, ReplicaRefusesBatchesBeyondTheLimits) {
  EXPECT_FALSE(replica_reads(FrameType::submit, SubmitBody{1, 101, 101}, 4'000).ok());
}
TEST_F(ChannelTest, ReplicaRefusesTooManyTokens) {
  EXPECT_FALSE(replica_reads(FrameType::submit, SubmitBody{1, 1, 1'001}, 4'100).ok());
}
TEST_F(ChannelTest, ReplicaRefusesCountsBeyondTheFrame) {
  EXPECT_FALSE(replica_reads(FrameType::submit, SubmitBody{1, 10, 100}, 100).ok());
}
TEST_F(ChannelTest, ReplicaRefusesTextsThatDoNotSumUp) {
  // The items' bytes are zero: texts without tokens.
  EXPECT_FALSE(replica_reads(FrameType::submit, SubmitBody{1, 2, 4}, 64).ok());
}
TEST_F(ChannelTest, ReplicaRefusesOutputsThatTheChannelDoesNotCarry) {
  const struct {
    SubmitBody head;
    WireItem item;
    std::int32_t id;
  } sparse{{1, 1, 1}, {1, 0, 0, 0, 1}, 7};
  EXPECT_FALSE(replica_reads(FrameType::submit, sparse, 64).ok());
}
TEST_F(ChannelTest, ReplicaRefusesUnknownOutputs) {
  const struct {
    SubmitBody head;
    WireItem item;
    std::int32_t id;
  } unknown{{1, 1, 1}, {1, 0, 0, 0, 9}, 7};
  EXPECT_FALSE(replica_reads(FrameType::submit, unknown, 64).ok());
}
TEST_F(ChannelTest, ReplicaRefusesResultFrames) {
  EXPECT_FALSE(replica_reads(FrameType::rows, RowsBody{1, 0, 1, kStride, 0}, 64).ok());
}
TEST_F(ChannelTest, ReplicaRefusesCorruptPositions) {
  header().submit_head.value = ~std::uint64_t{0};
  EXPECT_FALSE(replica_.receive().ok());
  header().result_tail.value = ~std::uint64_t{0};
  EXPECT_FALSE(replica_.send_final(1, 0, nullptr).ok());
}

TEST_F(ChannelTest, ReplicaRefusesHeadersThatContradictThemselves) {
  const auto opens = [this] {
    return ReplicaEnd::open(router_.memory_fd(), Fd(::dup(router_.event_fd()))).ok();
  };
  ASSERT_TRUE(opens());
  const Limits limits = header().limits;
  for (const Limits& wrong :
       {Limits{0, 100, kStride}, Limits{1'000, 0, kStride}, Limits{1'000, 100, 0},
        Limits{1 << 22, 100, kStride}, Limits{~0u, ~0u, ~0u}, Limits{1'000, 100, 0, 0, ~0u},
        Limits{1'000, 100, 0, (1 << 24) + 1, 0}}) {
    header().limits = wrong;
    EXPECT_FALSE(opens());
  }
  header().limits = limits;
  header().version = kVersion + 1;
  EXPECT_FALSE(opens());
  header().version = kVersion;
  header().magic ^= 1;
  EXPECT_FALSE(opens());
}

// Random bytes over everything that is shared, while traffic goes on: either end may give up, or
// read nonsense values, but stays inside its memory (the sanitizers watch).
TEST_F(ChannelTest, BothEndsSurviveRandomCorruption) {
  std::mt19937 random(3);
  for (int round = 0; round < 300; ++round) {
    const Limits limits{1'000, 100, kStride};
    auto router = std::move(*RouterEnd::create(limits));
    auto replica = std::move(*ReplicaEnd::open(router.memory_fd(), Fd(::dup(router.event_fd()))));
    auto memory = std::move(
        *Mapping::map(router.memory_fd(), geometry_.total_bytes, Mapping::Access::read_write));
    const std::vector<std::int32_t> ids(1 + random() % 50, 1);
    const std::vector<Item> items(1 + random() % 20, {ids, true, 0});
    const std::vector<float> values(items.size() * kStride, 1.0f);
    for (int step = 0; step < 20; ++step) {
      if (!router.submit(1, items).ok()) break;
      // Positions, the frames at the starts of the rings, or anything.
      const std::size_t places[] = {random() % sizeof(SharedHeader), kHeaderBytes + random() % 256,
                                    kHeaderBytes + geometry_.submit_bytes + random() % 256,
                                    random() % geometry_.total_bytes};
      memory.data()[places[random() % 4]] = static_cast<std::byte>(random());
      const auto order = replica.receive();
      if (!order.ok()) break;
      if (const auto* submission = std::get_if<Submission>(&*order)) {
        ASSERT_EQ(submission->cu_seqlens.back(), submission->ids.size());
        ASSERT_LE(submission->options.size(), limits.max_batch_items);
      }
      if (step < 10 &&
          (!replica.send_rows(1, 0, static_cast<std::uint32_t>(items.size()), values).ok() ||
           !replica.send_final(1, 0, nullptr).ok()))
        break;
      const auto news = router.receive();
      if (!news.ok()) break;
      float sum = 0;
      if (const auto* rows = std::get_if<Rows>(&*news))
        for (const float value : rows->values) sum += value;
      (void)sum;
    }
  }
}

}  // namespace
}  // namespace sheaf::channel
