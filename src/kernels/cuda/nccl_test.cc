// Sums by NCCL, as a table of functions in its place plays it: what the library itself does only a
// card shows.
#include "kernels/cuda/nccl.h"

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/mapping.h"
#include "kernels/ranks/shared_communicator.h"

namespace sheaf::kernels::cuda {
namespace {

constexpr nccl::Return kInvalidUsage = 5, kRemoteError = 6;

// What stands in for the library, for all threads of a test.
struct Played {
  std::mutex mutex;
  std::condition_variable met;
  std::size_t ranks = 1, arrived = 0, meetings = 0;
  std::vector<float> sum;
  std::set<std::string> ids;  // that communicators were made with
  int busy = 0;               // so often what was asked for is still in progress
  nccl::Return start = nccl::kSuccess, reduce = nccl::kSuccess, later = nccl::kSuccess;
  int aborts = 0;

  // All ranks' values added up, as the last of them to come finds them.
  void add(const float* from, float* to, std::size_t count) {
    std::unique_lock lock(mutex);
    sum.resize(count);
    if (arrived == 0) std::fill(sum.begin(), sum.end(), 0.0f);
    for (std::size_t i = 0; i < count; ++i) sum[i] += from[i];
    if (++arrived == ranks) {
      arrived = 0;
      ++meetings;
      met.notify_all();
    } else {
      met.wait(lock, [this, before = meetings] { return meetings > before; });
    }
    std::copy(sum.begin(), sum.end(), to);
  }
};
Played* played = nullptr;

nccl::Comm some_communicator() { return reinterpret_cast<nccl::Comm>(played); }
const nccl::Stream kStream = reinterpret_cast<nccl::Stream>(16);

nccl::Functions library() {
  nccl::Functions table;
  table.ncclGetVersion = [](int* version) {
    *version = 23203;
    return nccl::kSuccess;
  };
  table.ncclGetErrorString = [](nccl::Return code) {
    return code == kInvalidUsage ? "invalid usage" : "remote error";
  };
  table.ncclGetLastError = [](nccl::Comm) { return "Duplicate GPU detected"; };
  table.ncclGetUniqueId = [](nccl::UniqueId* id) {
    std::memset(id, 'x', sizeof *id);
    return nccl::kSuccess;
  };
  table.ncclCommInitRankConfig = [](nccl::Comm* communicator, int ranks, nccl::UniqueId id, int,
                                    nccl::Config* config) {
    const std::lock_guard lock(played->mutex);
    EXPECT_EQ(ranks, static_cast<int>(played->ranks));
    EXPECT_EQ(config->blocking, 0);
    played->ids.insert(std::string(id.bytes, sizeof id.bytes));
    *communicator = some_communicator();
    return played->start;
  };
  table.ncclCommGetAsyncError = [](nccl::Comm communicator, nccl::Return* code) {
    EXPECT_EQ(communicator, some_communicator());
    const std::lock_guard lock(played->mutex);
    *code = played->busy != 0 ? nccl::kInProgress : played->later;
    if (played->busy > 0) --played->busy;
    return nccl::kSuccess;
  };
  table.ncclCommAbort = [](nccl::Comm) {
    const std::lock_guard lock(played->mutex);
    ++played->aborts;
    return nccl::kSuccess;
  };
  table.ncclAllReduce = [](const void* from, void* to, std::size_t count, int dtype, int operation,
                           nccl::Comm communicator, nccl::Stream stream) {
    EXPECT_EQ(dtype, nccl::kFloat32);
    EXPECT_EQ(operation, nccl::kSum);
    EXPECT_EQ(communicator, some_communicator());
    EXPECT_EQ(stream, kStream);
    if (played->reduce != kInvalidUsage)
      played->add(static_cast<const float*>(from), static_cast<float*>(to), count);
    return played->reduce;
  };
  return table;
}

class NcclTest : public ::testing::Test {
 protected:
  NcclTest() { played = &played_; }
  ~NcclTest() override { played = nullptr; }

  std::unique_ptr<Communicator> join(std::size_t rank, std::size_t ranks) {
    if (!fd_) fd_ = std::move(*make_memfd("nccl_test", shared_group_bytes(ranks)));
    auto memory = Mapping::map(fd_.get(), shared_group_bytes(ranks), Mapping::Access::read_write);
    return std::move(*join_shared_group(std::move(*memory), rank, {ranks}));
  }
  // Of the one rank that there is.
  std::string error_of_start(NcclPatience patience = {}) {
    const auto group = join(0, 1);
    const auto sums = join_by_nccl(library(), *group, kStream, patience);
    return sums.ok() ? "" : sums.error().message;
  }
  int aborts() {
    const std::lock_guard lock(played_.mutex);
    return played_.aborts;
  }

  Played played_;
  Fd fd_;
};

TEST_F(NcclTest, RanksFindEachOtherAndAddUp) {
  played_.ranks = 2;
  played_.busy = 20;
  played_.start = nccl::kInProgress;
  played_.reduce = nccl::kInProgress;
  std::vector<std::unique_ptr<Communicator>> groups;
  for (std::size_t rank = 0; rank < 2; ++rank) groups.push_back(join(rank, 2));
  std::vector<float> values[2] = {{1, 2, 3, 4, 5, 6}, {10, 20, 30, 40, 50, 60}};
  std::vector<std::thread> threads;
  for (std::size_t rank = 0; rank < 2; ++rank)
    threads.emplace_back([&, rank] {
      auto sums = join_by_nccl(library(), *groups[rank], kStream);
      ASSERT_TRUE(sums.ok()) << sums.error().message;
      for (int i = 0; i < 2; ++i) EXPECT_TRUE((*sums)->add_up({values[rank].data(), 2, 3}).ok());
      EXPECT_TRUE((*sums)->status().ok());
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(values[0], (std::vector<float>{22, 44, 66, 88, 110, 132}));
  EXPECT_EQ(values[1], values[0]);
  EXPECT_EQ(played_.ids, std::set<std::string>{std::string(128, 'x')});
  EXPECT_EQ(aborts(), 2) << "whoever ends frees what he has";
}

TEST_F(NcclTest, RanksThatDoNotComeAreWaitedForOnlySoLong) {
  played_.start = nccl::kInProgress;
  played_.busy = -1;
  EXPECT_EQ(error_of_start({.start_ms = 50}),
            "NCCL did not start within 50 ms: another rank did not come");
  EXPECT_EQ(aborts(), 1);
}

TEST_F(NcclTest, ASumThatIsNotTakenIsGivenUp) {
  const auto group = join(0, 1);
  auto sums = join_by_nccl(library(), *group, kStream, {.sum_ms = 50});
  ASSERT_TRUE(sums.ok()) << sums.error().message;
  {
    const std::lock_guard lock(played_.mutex);
    played_.reduce = nccl::kInProgress;
    played_.busy = -1;
  }
  float value = 1;
  const Status status = (*sums)->add_up({&value, 1, 1});
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::unavailable);
  EXPECT_EQ(status.error().message,
            "NCCL did not take a sum within 50 ms: another rank did not come");
  EXPECT_EQ((*sums)->add_up({&value, 1, 1}).error().message, status.error().message);
  sums->reset();
  EXPECT_EQ(aborts(), 1);
}

TEST_F(NcclTest, WhatTheLibraryRefusesIsSaid) {
  played_.start = kInvalidUsage;
  EXPECT_EQ(error_of_start(), "NCCL cannot start: invalid usage (Duplicate GPU detected)");
  EXPECT_EQ(aborts(), 1);
}

// The stream would wait for the sum for ever, and with it whoever reads what comes of it.
TEST_F(NcclTest, ARankThatIsLostEndsWhatTheStreamWaitsFor) {
  const auto group = join(0, 1);
  auto sums = join_by_nccl(library(), *group, kStream);
  ASSERT_TRUE(sums.ok()) << sums.error().message;
  float value = 1;
  EXPECT_TRUE((*sums)->add_up({&value, 1, 1}).ok());
  {
    const std::lock_guard lock(played_.mutex);
    played_.later = kRemoteError;
  }
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (aborts() == 0 && std::chrono::steady_clock::now() < until)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  const Status status = (*sums)->status();
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::unavailable);
  EXPECT_EQ(status.error().message, "NCCL cannot add up: remote error (Duplicate GPU detected)");
  EXPECT_FALSE((*sums)->add_up({&value, 1, 1}).ok());
  sums->reset();
  EXPECT_EQ(aborts(), 1);
}

TEST(NcclLibrary, SaysItsVersion) { EXPECT_EQ(version_text(library()), "2.32.3"); }

std::string error_of_file(const char* file) {
  ::setenv("SHEAF_NCCL", file, 1);
  const auto opened = open_nccl();
  ::unsetenv("SHEAF_NCCL");
  return opened.ok() ? "" : opened.error().message;
}

TEST(NcclLibrary, WhatIsNotThereIsNamedWithWhatHelps) {
  EXPECT_EQ(error_of_file("/nowhere/libnccl.so.2"),
            "there is no NCCL (/nowhere/libnccl.so.2), by which cards add up: `pip install "
            "nvidia-nccl-cu13` (cu12 before driver 580) brings it, or SHEAF_NCCL names it");
  EXPECT_EQ(error_of_file("libm.so.6"),
            "libm.so.6 is no NCCL of 2.14 or later: it lacks ncclAllReduce");
}

}  // namespace
}  // namespace sheaf::kernels::cuda
