#include "kernels/ranks/shared_communicator.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <numeric>
#include <thread>
#include <vector>

#include "base/clock.h"

namespace sheaf::kernels {
namespace {

class SharedMemory {
 public:
  explicit SharedMemory(std::size_t ranks)
      : ranks_(ranks), fd_(std::move(*make_memfd("ranks_test", shared_group_bytes(ranks)))) {}

  Mapping map() const {
    return std::move(
        *Mapping::map(fd_.get(), shared_group_bytes(ranks_), Mapping::Access::read_write));
  }
  std::unique_ptr<Communicator> join(std::size_t rank, int patience_ms = 20'000) const {
    auto joined = join_shared_group(map(), rank, {ranks_, patience_ms});
    EXPECT_TRUE(joined.ok()) << joined.error().message;
    return std::move(*joined);
  }

 private:
  std::size_t ranks_;
  Fd fd_;
};

// What rank r has at column i of row t; exact in float32, whatever the order.
float value_at(std::size_t rank, std::size_t row, std::size_t column) {
  return static_cast<float>((rank + 1) * (row % 13 + 1) + column % 7);
}

struct Shape {
  std::size_t rows, columns, stride;
};

// Returns how many values are wrong.
std::size_t wrong_sums(Communicator& communicator, Shape shape) {
  std::vector<float> values(shape.rows * shape.stride, -1);
  const tensor::MatrixSpan x = {values.data(), shape.rows, shape.columns, shape.stride};
  for (std::size_t t = 0; t < x.rows; ++t)
    for (std::size_t i = 0; i < x.columns; ++i) x.row(t)[i] = value_at(communicator.rank(), t, i);
  if (!communicator.sum(x).ok()) return values.size();
  std::size_t wrong = 0;
  for (std::size_t t = 0; t < x.rows; ++t)
    for (std::size_t i = 0; i < shape.stride; ++i) {
      float want = -1;  // between the rows nothing is touched
      if (i < x.columns) {
        want = 0;
        for (std::size_t rank = 0; rank < communicator.ranks(); ++rank)
          want += value_at(rank, t, i);
      }
      wrong += values[t * shape.stride + i] != want ? 1 : 0;
    }
  return wrong;
}

TEST(SharedCommunicator, AddsUpWhatRanksHave) {
  for (const std::size_t ranks : {1, 2, 3, 5}) {
    const SharedMemory memory(ranks);
    std::vector<std::thread> threads;
    std::vector<std::size_t> wrong(ranks);
    for (std::size_t rank = 0; rank < ranks; ++rank)
      threads.emplace_back([&, rank] {
        const auto communicator = memory.join(rank);
        // Shorter and longer than what is added up at a time, and than its rows.
        for (const Shape shape :
             {Shape{1, 1, 1}, {7, 30, 33}, {300, 384, 384}, {3, 70'000, 70'001}})
          wrong[rank] += wrong_sums(*communicator, shape);
      });
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(std::accumulate(wrong.begin(), wrong.end(), std::size_t{0}), 0u) << ranks;
  }
}

TEST(SharedCommunicator, WorksBetweenProcesses) {
  const SharedMemory memory(2);
  const pid_t other = ::fork();
  if (other == 0) {
    const auto communicator = memory.join(1);
    std::size_t wrong = 0;
    for (int i = 0; i < 200; ++i) wrong += wrong_sums(*communicator, {9, 100, 100});
    ::_exit(wrong == 0 ? 0 : 1);
  }
  const auto communicator = memory.join(0);
  std::size_t wrong = 0;
  for (int i = 0; i < 200; ++i) wrong += wrong_sums(*communicator, {9, 100, 100});
  EXPECT_EQ(wrong, 0u);
  int status = -1;
  ASSERT_EQ(::waitpid(other, &status, 0), other);
  EXPECT_EQ(status, 0);
}

std::vector<std::byte> message_of(std::size_t bytes) {
  std::vector<std::byte> message(bytes);
  for (std::size_t i = 0; i < bytes; ++i) message[i] = static_cast<std::byte>(i * 7 + i / 251);
  return message;
}

TEST(SharedCommunicator, SharesWhatTheFirstHas) {
  const std::size_t lengths[] = {0, 1, 262'143, 262'144, 262'145, 1'000'000, 3};
  const SharedMemory memory(3);
  std::vector<std::thread> threads;
  std::vector<int> right(3);
  for (std::size_t rank = 0; rank < 3; ++rank)
    threads.emplace_back([&, rank] {
      const auto communicator = memory.join(rank);
      for (const std::size_t bytes : lengths) {
        auto message = rank == 0 ? message_of(bytes) : message_of(10);
        const bool shared = communicator->share(message).ok();
        right[rank] += shared && message == message_of(bytes) ? 1 : 0;
        right[rank] += wrong_sums(*communicator, {2, 5, 5}) == 0 ? 1 : 0;  // in between
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, std::vector<int>(3, 14));
}

// Who has nothing to do is not late; who has is.
TEST(SharedCommunicator, AMessageIsWaitedForWithoutEnd) {
  const SharedMemory memory(2);
  const auto first = memory.join(0, 100);
  std::vector<std::byte> got;
  Status status = Error{ErrorCode::internal, "nothing came"};
  std::thread other([&] {
    const auto second = memory.join(1, 100);
    status = second->share(got);
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(400));  // four times the patience
  auto message = message_of(5);
  EXPECT_TRUE(first->share(message).ok());
  other.join();
  EXPECT_TRUE(status.ok()) << status.error().message;
  EXPECT_EQ(got, message);
  const Status alone = first->share(message);
  ASSERT_FALSE(alone.ok());
  EXPECT_EQ(alone.error().message, "rank 0 of 2 cannot go on: another rank has ended");
}

TEST(SharedCommunicator, AMessageHasALargestSize) {
  const SharedMemory memory(1);
  std::vector<std::byte> message(Communicator::kMostShared + 1);
  const Status status = memory.join(0)->share(message);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().message,
            "rank 0 of 1 cannot go on: a message has 67108865 bytes, more than 67108864");
}

std::string error_of_sum(Communicator& communicator, std::size_t columns = 8) {
  std::vector<float> values(columns);
  const Status status = communicator.sum({values.data(), 1, columns});
  return status.ok() ? "" : status.error().message;
}

TEST(SharedCommunicator, OneThatEndsEndsTheGroup) {
  const SharedMemory memory(2);
  const auto first = memory.join(0);
  std::thread other([&] { memory.join(1).reset(); });
  EXPECT_EQ(error_of_sum(*first), "rank 0 of 2 cannot go on: another rank has ended");
  other.join();
  EXPECT_EQ(error_of_sum(*first), "rank 0 of 2 cannot go on: another rank has ended");
}

TEST(SharedCommunicator, OneThatIsKilledIsWaitedForOnlySoLong) {
  const SharedMemory memory(2);
  const auto first = memory.join(0, 50);
  EXPECT_EQ(error_of_sum(*first), "rank 0 of 2 cannot go on: another rank is 50 ms late");
}

// It may have died at a meeting, where it would be counted twice.
TEST(SharedCommunicator, NobodyTakesThePlaceOfADeadRank) {
  const SharedMemory memory(2);
  const auto first = memory.join(0);
  const auto second = memory.join(1);  // killed, as far as the memory knows
  auto mapping = memory.map();
  const auto again = join_shared_group(std::move(mapping), 1, {2});
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.error().message, "there was a rank 1 of 2 already");
  EXPECT_EQ(error_of_sum(*first), "rank 0 of 2 cannot go on: another rank has ended");
}

TEST(SharedCommunicator, RanksThatAddUpOtherThingsAreTold) {
  const SharedMemory memory(2);
  const auto first = memory.join(0);
  const auto second = memory.join(1);
  std::string told;
  std::thread other([&] { told = error_of_sum(*second, 9); });
  const std::string here = error_of_sum(*first, 8);
  other.join();
  EXPECT_EQ(here, "rank 0 of 2 cannot go on: it has 8 values where rank 1 has 9");
  EXPECT_EQ(told, "rank 1 of 2 cannot go on: it has 9 values where rank 0 has 8");
}

// ---- what one rank sends to another

struct Sent {
  tensor::Dtype dtype;
  std::size_t rows, columns, stride;
};
// Shorter and longer than a piece of what is sent, and than all pieces that are kept.
const Sent kSent[] = {{tensor::Dtype::float32, 1, 1, 1},
                      {tensor::Dtype::float32, 7, 30, 33},
                      {tensor::Dtype::bfloat16, 300, 384, 384},
                      {tensor::Dtype::float32, 3000, 384, 400},
                      {tensor::Dtype::bfloat16, 3, 300'001, 300'002}};

std::vector<std::byte> bytes_of(const Sent& sent, std::size_t seed) {
  std::vector<std::byte> bytes(sent.rows * sent.stride * size_of(sent.dtype));
  for (std::size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<std::byte>((i + seed) * 31 + i / 509);
  return bytes;
}

bool send(Communicator& communicator, std::size_t to, const Sent& sent, std::size_t seed) {
  const auto bytes = bytes_of(sent, seed);
  return communicator.send(to, {bytes.data(), sent.dtype, sent.rows, sent.columns, sent.stride})
      .ok();
}

// Whether it is what send() sent, and nothing between the rows was touched.
bool receive(Communicator& communicator, std::size_t from, const Sent& sent, std::size_t seed) {
  const std::byte untouched{0x5a};
  std::vector<std::byte> got(sent.rows * sent.stride * size_of(sent.dtype), untouched);
  const tensor::TypedSpan x = {got.data(), sent.dtype, sent.rows, sent.columns, sent.stride};
  if (!communicator.receive(from, x).ok()) return false;
  auto want = bytes_of(sent, seed);
  const std::size_t row = sent.stride * size_of(sent.dtype);
  for (std::size_t i = 0; i < want.size(); ++i)
    if (i % row >= sent.columns * size_of(sent.dtype)) want[i] = untouched;
  return got == want;
}

// Around a ring, both ways, with sums in between.
TEST(SharedCommunicator, SendsWhatOneHasToAnother) {
  for (const std::size_t ranks : {2, 3}) {
    const SharedMemory memory(ranks);
    std::vector<std::thread> threads;
    std::vector<std::size_t> wrong(ranks);
    for (std::size_t rank = 0; rank < ranks; ++rank)
      threads.emplace_back([&, rank] {
        const auto communicator = memory.join(rank);
        const std::size_t next = (rank + 1) % ranks, before = (rank + ranks - 1) % ranks;
        for (const Sent& sent : kSent) {
          // The first receives first: of what is longer than the ring all others would wait.
          if (rank == 0 && !receive(*communicator, before, sent, before)) ++wrong[rank];
          if (!send(*communicator, next, sent, rank)) ++wrong[rank];
          if (rank != 0 && !receive(*communicator, before, sent, before)) ++wrong[rank];
          // Short ones need nobody who waits for them.
          if (!send(*communicator, before, kSent[0], 7 + rank)) ++wrong[rank];
          if (!receive(*communicator, next, kSent[0], 7 + next)) ++wrong[rank];
          wrong[rank] += wrong_sums(*communicator, {2, 5, 5});  // and nobody ends before all have
        }
      });
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(wrong, std::vector<std::size_t>(ranks)) << ranks;
  }
}

// As of those that still load, who raise nobody's progress.
TEST(SharedCommunicator, WhoComesToAMeetingLateIsWaitedFor) {
  const SharedMemory memory(2);
  constexpr int kPatienceMs = 5;
  std::thread late([&] {
    const auto communicator = memory.join(1, kPatienceMs);
    const TimeUs until_us = monotonic_us() + 20 * kPatienceMs * 1000;
    while (monotonic_us() < until_us) std::this_thread::yield();
    EXPECT_TRUE(communicator->meet().ok());
  });
  const auto communicator = memory.join(0, kPatienceMs);
  EXPECT_TRUE(communicator->meet().ok());
  late.join();
}

std::string error_of_receive(Communicator& communicator, std::size_t columns = 8) {
  std::vector<float> values(columns);
  const Status status = communicator.receive(1, tensor::MatrixSpan(values.data(), 1, columns));
  return status.ok() ? "" : status.error().message;
}

// One that is too long for what is kept, and whose receiver is killed in the middle of it.
TEST(SharedCommunicator, AKilledReceiverIsWaitedForOnlySoLong) {
  const SharedMemory memory(2);
  const pid_t other = ::fork();
  if (other == 0) {
    const auto communicator = memory.join(1);
    (void)receive(*communicator, 0, kSent[1], 0);
    ::kill(::getpid(), SIGKILL);
  }
  const auto communicator = memory.join(0, 300);
  EXPECT_TRUE(send(*communicator, 1, kSent[1], 0));
  int status = 0;
  ASSERT_EQ(::waitpid(other, &status, 0), other);
  ASSERT_TRUE(WIFSIGNALED(status));
  const auto bytes = bytes_of(kSent[3], 0);
  const Status sent = communicator->send(
      1, {bytes.data(), tensor::Dtype::float32, kSent[3].rows, kSent[3].columns, kSent[3].stride});
  ASSERT_FALSE(sent.ok());
  EXPECT_EQ(sent.error().message, "rank 0 of 2 cannot go on: another rank is 300 ms late");
  EXPECT_EQ(error_of_receive(*communicator), "rank 0 of 2 cannot go on: another rank has ended");
  EXPECT_EQ(error_of_sum(*communicator), "rank 0 of 2 cannot go on: another rank has ended");
}

// What was sent before comes yet.
TEST(SharedCommunicator, ASenderThatEndsEndsTheGroup) {
  const SharedMemory memory(2);
  const auto first = memory.join(0);
  std::thread other([&] { EXPECT_TRUE(send(*memory.join(1), 0, kSent[1], 3)); });
  EXPECT_TRUE(receive(*first, 1, kSent[1], 3));
  EXPECT_EQ(error_of_receive(*first), "rank 0 of 2 cannot go on: another rank has ended");
  EXPECT_FALSE(send(*first, 1, kSent[0], 0));
  other.join();
}

// As stages do that wait for the one before them.
TEST(SharedCommunicator, WhoComputesIsNotLate) {
  const SharedMemory memory(2);
  std::atomic<std::uint64_t> progress{0};
  auto joined = join_shared_group(memory.map(), 0, {2, 100, &progress});
  ASSERT_TRUE(joined.ok());
  std::atomic<bool> stands{false};
  std::thread other([&] {
    const auto second = memory.join(1);
    for (int i = 0; i < 25; ++i) {  // five times the patience
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      ++progress;
    }
    EXPECT_TRUE(send(*second, 0, kSent[1], 1));
    while (!stands) std::this_thread::yield();
  });
  EXPECT_TRUE(receive(**joined, 1, kSent[1], 1));
  EXPECT_EQ(error_of_receive(**joined), "rank 0 of 2 cannot go on: another rank is 100 ms late");
  stands = true;
  other.join();
}

TEST(SharedCommunicator, WhatIsSentIsAsLongAsWhatIsReceived) {
  const SharedMemory memory(2);
  const auto first = memory.join(0);
  const auto second = memory.join(1);
  EXPECT_TRUE(send(*second, 0, kSent[0], 0));
  EXPECT_EQ(error_of_receive(*first, 8),
            "rank 0 of 2 cannot go on: it takes 32 bytes where rank 1 sends 4");
  EXPECT_FALSE(send(*second, 0, kSent[0], 0));
}

TEST(SharedCommunicator, RefusesWhatCannotBe) {
  const SharedMemory memory(2);
  EXPECT_EQ(join_shared_group(Mapping(), 0, {2}).error().code, ErrorCode::invalid_argument);
  auto fd = make_memfd("ranks_test", shared_group_bytes(2));
  auto mapping = Mapping::map(fd->get(), shared_group_bytes(2), Mapping::Access::read_write);
  EXPECT_EQ(join_shared_group(std::move(*mapping), 2, {2}).error().message,
            "there is no rank 2 of 2");
}

}  // namespace
}  // namespace sheaf::kernels
