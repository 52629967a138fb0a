#include "fleet/fleet.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <map>
#include <set>
#include <thread>

#include "base/clock.h"
#include "base/mapping.h"
#include "channel/layout.h"
#include "slices/durable_file.h"
#include "slices/lease_request.h"
#include "slices/mps_json.h"

// Real processes: sheaf-replica-fake is the replica's program around a model whose vectors are a
// function of the ids (src/replica/fake_engine.h).
namespace sheaf::fleet {
namespace {

using channel::Output;

constexpr std::uint32_t kDimensions = 8;
// Of the made-up model's other rows (replica/fake_engine.h).
constexpr std::uint32_t kVocabulary = 30'000, kTokenFloats = 5'000;
constexpr std::int32_t kCrashId = 101, kHangId = 102, kExitId = 103;

std::vector<float> expected_vector(const std::vector<std::int32_t>& ids,
                                   std::uint32_t floats = kDimensions) {
  std::vector<float> vector;
  for (std::uint32_t j = 0; j < floats; ++j) {
    std::uint32_t sum = j;
    for (const std::int32_t id : ids) sum = sum * 31 + static_cast<std::uint32_t>(id);
    vector.push_back(static_cast<float>(sum % 65'521));
  }
  return vector;
}

void write_shape(const std::string& folder, std::uint32_t dimensions) {
  std::ofstream(folder + "/dimensions") << dimensions << " " << kVocabulary << " " << kTokenFloats;
}

struct BatchRecord {
  std::map<std::uint32_t, std::vector<float>> rows;
  bool ended = false;
  std::string failure;
};

struct ReplicaRecord {
  Incarnation ready = 0;
  ReplicaHello hello;
  std::vector<core::ExitReport> exits;
  std::vector<core::ProgressSample> samples;
  std::map<BatchId, BatchRecord> batches;
  std::string waits;  // why, as it was said last
  int waits_said = 0;
};

// Remembers what it hears; wait_until() looks at it.
class Recorder : public FleetListener {
 public:
  explicit Recorder(std::size_t replicas) : replicas(replicas) {}

  void replica_ready(ReplicaId id, Incarnation incarnation, const ReplicaHello& hello) override {
    replicas[id].ready = incarnation;
    replicas[id].hello = hello;
    changed.notify_all();
  }
  void replica_rows(ReplicaId id, Incarnation, const ResultRows& rows) override {
    auto& batch = replicas[id].batches[rows.batch];
    for (std::uint32_t i = 0; i < rows.items; ++i) {
      const auto row = rows.values.subspan(std::size_t{i} * rows.stride, rows.stride);
      batch.rows[rows.first_item + i].assign(row.begin(), row.end());
    }
  }
  void replica_batch_end(ReplicaId id, Incarnation, const BatchEnd& end) override {
    auto& batch = replicas[id].batches[end.batch];
    batch.ended = true;
    batch.failure = end.failure == nullptr ? "" : end.failure->message;
    changed.notify_all();
  }
  void replica_progress(ReplicaId id, Incarnation, const core::ProgressSample& sample) override {
    replicas[id].samples.push_back(sample);
    changed.notify_all();
  }
  void replica_exit(ReplicaId id, Incarnation, const core::ExitReport& report) override {
    replicas[id].exits.push_back(report);
    changed.notify_all();
  }
  void replica_waits(ReplicaId id, Incarnation, const std::string& reason) override {
    replicas[id].waits = reason;
    ++replicas[id].waits_said;
    changed.notify_all();
  }

  std::vector<ReplicaRecord> replicas;
  std::condition_variable changed;
};

class FleetTest : public ::testing::Test {
 protected:
  FleetTest() : work_(boost::asio::make_work_guard(io_)) {
    char path[] = "/tmp/sheaf-fleet-XXXXXX";
    folder_ = ::mkdtemp(path);
    write_shape(folder_, kDimensions);
  }
  ~FleetTest() override {
    fleet_.reset();
    io_.stop();
    for (std::thread& thread : threads_) thread.join();
    std::filesystem::remove_all(folder_);
  }

  // On processor cores, unless the test says otherwise.
  virtual slices::Placement placement(std::uint32_t replicas) {
    const auto machine = slices::detect_machine();
    EXPECT_TRUE(machine.ok());
    const slices::Wish wish{.model = "fake", .replicas = replicas};
    auto placed = slices::place(*machine, {}, {&wish, 1}, {});
    EXPECT_TRUE(placed.ok());
    return std::get<slices::Placement>(std::move(*placed));
  }

  void create(std::uint32_t replicas, const std::string& folder = "") {
    FleetModel model{"fake", folder.empty() ? folder_ : folder, {}, replicas};
    model.spec.dimensions = kDimensions;
    model.spec.vocab_size = kVocabulary;
    model.spec.hidden_size = kTokenFloats;
    model.spec.token_weight.name = "made up";
    FleetOptions options;
    options.replica_program = cores_program_.empty() ? program_ : cores_program_;
    model.ranks = ranks_;
    options.models = {model};
    options.replica_environment = environment_;
    options.card_program = program_;
    options.placement = placement(replicas);
    options.want_mps = want_mps_;
    recorder_ = std::make_unique<Recorder>(replicas);
    auto fleet = Fleet::create(io_, mutex_, options, *recorder_);
    ASSERT_TRUE(fleet.ok()) << fleet.error().message;
    fleet_ = std::move(*fleet);
    for (int i = 0; i < 2; ++i) threads_.emplace_back([this] { io_.run(); });
    const std::lock_guard lock(mutex_);
    for (ReplicaId replica = 0; replica < replicas; ++replica) fleet_->start(replica, 1);
  }

  template <class Condition>
  bool wait_until(Condition condition, int limit_ms = 10'000) {
    std::unique_lock lock(mutex_);
    return recorder_->changed.wait_for(lock, std::chrono::milliseconds(limit_ms), condition);
  }
  ReplicaRecord& replica(ReplicaId id) { return recorder_->replicas[id]; }
  bool wait_ready(ReplicaId id, Incarnation incarnation = 1) {
    return wait_until([&] { return replica(id).ready == incarnation; });
  }

  bool submit(ReplicaId id, BatchId batch, const std::vector<std::vector<std::int32_t>>& texts,
              Incarnation incarnation = 1, Output output = Output::vector) {
    std::vector<BatchItem> items;
    for (const auto& ids : texts) items.push_back({.ids = ids, .output = output});
    const std::lock_guard lock(mutex_);
    return fleet_->submit(id, incarnation, batch, items);
  }
  int pid_of(ReplicaId id) {
    const std::lock_guard lock(mutex_);
    const std::vector<int> pids = fleet_->pids(id);
    return pids.empty() ? 0 : pids.front();
  }

  std::vector<std::string> environment_ = {"SHEAF_FAULT_CRASH_ID=101", "SHEAF_FAULT_HANG_ID=102",
                                           "SHEAF_FAULT_EXIT_ID=103", "SHEAF_FAULT_FAIL_ID=104",
                                           "SHEAF_FAULT_FULL_ID=105"};
  std::function<void(const std::string&)> want_mps_;
  std::uint32_t ranks_ = 1;
  std::string program_ = SHEAF_BIN_DIR "/sheaf-replica-fake";
  std::string cores_program_;  // empty: the same
  std::string folder_;
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  std::mutex mutex_;
  std::unique_ptr<Recorder> recorder_;
  std::unique_ptr<Fleet> fleet_;
  std::vector<std::thread> threads_;
};

bool alive(int pid) { return ::kill(pid, 0) == 0; }

// The child of ours that was started as this rank.
int pid_of_rank(int rank) {
  const std::string wanted = std::string("--rank") + '\0' + std::to_string(rank) + '\0';
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    std::ifstream file(entry.path() / "cmdline");
    const std::string words{std::istreambuf_iterator<char>(file), {}};
    std::ifstream children(entry.path() / "status");
    std::string line;
    while (std::getline(children, line) && !line.starts_with("PPid:")) continue;
    if (line == "PPid:\t" + std::to_string(::getpid()) &&
        words.find(std::string("run") + '\0') != words.npos && words.find(wanted) != words.npos)
      return std::stoi(entry.path().filename());
  }
  return 0;
}

class FleetOfRanks : public FleetTest {
 protected:
  void SetUp() override {
    if (slices::detect_machine()->cores.size() < 2) GTEST_SKIP() << "each rank takes a core";
    ranks_ = 2;
  }
};

TEST_F(FleetOfRanks, AnswersAsOne) {
  create(1);
  ASSERT_TRUE(wait_ready(0));
  {
    const std::lock_guard lock(mutex_);
    EXPECT_EQ(fleet_->pids(0), (std::vector<int>{pid_of_rank(0), pid_of_rank(1)}));
  }
  EXPECT_TRUE(alive(pid_of_rank(1)));
  for (BatchId batch = 1; batch <= 20; ++batch)
    ASSERT_TRUE(submit(0, batch, {{5, static_cast<std::int32_t>(batch)}, {9}}));
  for (BatchId batch = 1; batch <= 20; ++batch) {
    ASSERT_TRUE(wait_until([&] { return replica(0).batches[batch].ended; }));
    const std::lock_guard lock(mutex_);
    EXPECT_EQ(replica(0).batches[batch].rows[0],
              expected_vector({5, static_cast<std::int32_t>(batch)}));
  }
  // What one refuses all refuse, and go on.
  ASSERT_TRUE(submit(0, 30, {{40'000}}));
  ASSERT_TRUE(wait_until([&] { return replica(0).batches[30].ended; }));
  EXPECT_NE(replica(0).batches[30].failure.find("40000"), std::string::npos);
  ASSERT_TRUE(submit(0, 31, {{5}}));
  ASSERT_TRUE(wait_until([&] { return replica(0).batches[31].ended; }));
  EXPECT_EQ(replica(0).batches[31].failure, "");
}

// One exit is reported, with the cause that began.
TEST_F(FleetOfRanks, EndsAsOne) {
  create(1);
  for (Incarnation incarnation = 1; incarnation <= 4; ++incarnation) {
    ASSERT_TRUE(wait_ready(0, incarnation));
    const int first = pid_of_rank(0), second = pid_of_rank(1);
    ASSERT_EQ(::kill(incarnation % 2 == 0 ? first : second, SIGKILL), 0);
    ASSERT_TRUE(wait_until([&] { return replica(0).exits.size() == incarnation; }, 2'000));
    EXPECT_EQ(replica(0).exits.back().kind, core::ExitReport::Kind::signal);
    EXPECT_EQ(replica(0).exits.back().value, SIGKILL);
    EXPECT_EQ(replica(0).exits.back().detail, incarnation % 2 == 0 ? "rank 0 of 2" : "rank 1 of 2");
    EXPECT_FALSE(alive(first));
    EXPECT_FALSE(alive(second));
    const std::lock_guard lock(mutex_);
    fleet_->start(0, incarnation + 1);
  }
}

TEST_F(FleetOfRanks, ACrashOfAllIsOneCrash) {
  create(1);
  ASSERT_TRUE(wait_ready(0));
  ASSERT_TRUE(submit(0, 1, {{kCrashId}}));
  ASSERT_TRUE(wait_until([&] { return !replica(0).exits.empty(); }));
  EXPECT_EQ(replica(0).exits[0].kind, core::ExitReport::Kind::signal);
  EXPECT_EQ(replica(0).exits[0].value, SIGSEGV);
  EXPECT_EQ(replica(0).exits.size(), 1u);
  EXPECT_FALSE(replica(0).batches[1].ended);
}

TEST_F(FleetOfRanks, AStoppedOneStopsTheReplica) {
  create(1);
  ASSERT_TRUE(wait_ready(0));
  ASSERT_EQ(::kill(pid_of_rank(1), SIGSTOP), 0);
  EXPECT_TRUE(wait_until(
      [&] { return !replica(0).samples.empty() && replica(0).samples.back().stopped; }, 2'000));
  const int first = pid_of_rank(0);
  {
    const std::lock_guard lock(mutex_);
    fleet_->stop(0, 1);
  }
  ASSERT_TRUE(wait_until([&] { return !replica(0).exits.empty(); }, 3'000));
  EXPECT_FALSE(alive(first));
}

TEST_F(FleetTest, AnswersBatchesOfAllReplicas) {
  create(3);
  for (ReplicaId id = 0; id < 3; ++id) {
    ASSERT_TRUE(wait_ready(id));
    EXPECT_EQ(replica(id).hello.device, "fake");
    EXPECT_EQ(replica(id).hello.dtype, "float32");
    EXPECT_GE(replica(id).hello.limits.max_batch_tokens, 1'000u);
  }
  for (BatchId batch = 1; batch <= 60; ++batch) {
    const std::int32_t id = static_cast<std::int32_t>(batch);
    ASSERT_TRUE(submit(batch % 3, batch, {{1000 + id}, {2000 + id, 7}, {3000 + id, 8, 9}}));
  }
  for (BatchId batch = 1; batch <= 60; ++batch) {
    const ReplicaId on = batch % 3;
    ASSERT_TRUE(wait_until([&] { return replica(on).batches[batch].ended; }));
    const std::lock_guard lock(mutex_);
    const std::int32_t id = static_cast<std::int32_t>(batch);
    auto& rows = replica(on).batches[batch].rows;
    ASSERT_EQ(rows.size(), 3u);
    EXPECT_EQ(rows[0], expected_vector({1000 + id}));
    EXPECT_EQ(rows[1], expected_vector({2000 + id, 7}));
    EXPECT_EQ(rows[2], expected_vector({3000 + id, 8, 9}));
  }
}

TEST_F(FleetTest, CarriesRowsThatTakeManyFrames) {
  create(1);
  ASSERT_TRUE(wait_ready(0));
  const std::vector<std::vector<std::int32_t>> texts = {
      {7, 5, 7}, std::vector<std::int32_t>(300, 9), {8}, std::vector<std::int32_t>(13, 4)};
  for (const Output output : {Output::tokens, Output::sparse, Output::vector}) {
    const auto batch = static_cast<BatchId>(output) + 1;
    ASSERT_TRUE(submit(0, batch, texts, 1, output));
    ASSERT_TRUE(wait_until([&] { return replica(0).batches[batch].ended; }));
    const std::lock_guard lock(mutex_);
    auto& rows = replica(0).batches[batch].rows;
    ASSERT_EQ(rows.size(), texts.size());
    if (output == Output::sparse) {
      EXPECT_EQ(rows[0].size(), 4u);
      EXPECT_EQ(rows[0][0], 5);
      EXPECT_EQ(rows[0][1], expected_vector(texts[0])[0]);
      EXPECT_EQ(rows[0][2], 7);
      continue;
    }
    for (std::uint32_t i = 0; i < texts.size(); ++i) {
      const auto tokens = static_cast<std::uint32_t>(texts[i].size());
      EXPECT_EQ(rows[i], expected_vector(texts[i], output == Output::tokens ? tokens * kTokenFloats
                                                                            : kDimensions));
    }
  }
  EXPECT_TRUE(replica(0).exits.empty());
}

TEST_F(FleetTest, CarriesTheLargestBatchSeveralTimes) {
  create(1);
  ASSERT_TRUE(wait_ready(0));
  const auto limits = replica(0).hello.limits;
  std::vector<std::vector<std::int32_t>> texts(limits.max_batch_items);
  for (std::size_t i = 0; i < texts.size(); ++i)
    texts[i].assign(limits.max_batch_tokens / texts.size(), static_cast<std::int32_t>(1000 + i));
  for (BatchId batch = 1; batch <= 6; ++batch) ASSERT_TRUE(submit(0, batch, texts));
  for (BatchId batch = 1; batch <= 6; ++batch) {
    ASSERT_TRUE(wait_until([&] { return replica(0).batches[batch].ended; }));
    const std::lock_guard lock(mutex_);
    auto& rows = replica(0).batches[batch].rows;
    ASSERT_EQ(rows.size(), texts.size());
    for (std::size_t i = 0; i < texts.size(); ++i)
      ASSERT_EQ(rows[static_cast<std::uint32_t>(i)], expected_vector(texts[i]));
  }
  // One over is refused without harm.
  texts.push_back({1});
  EXPECT_FALSE(submit(0, 9, texts));
  EXPECT_TRUE(submit(0, 10, {{5}}));
  EXPECT_TRUE(wait_until([&] { return replica(0).batches[10].ended; }));
}

TEST_F(FleetTest, ABadTokenFailsItsBatchAlone) {
  create(1);
  ASSERT_TRUE(wait_ready(0));
  ASSERT_TRUE(submit(0, 1, {{5}, {40'000}}));
  ASSERT_TRUE(wait_until([&] { return replica(0).batches[1].ended; }));
  EXPECT_NE(replica(0).batches[1].failure.find("40000"), std::string::npos);
  ASSERT_TRUE(submit(0, 2, {{5}}));
  ASSERT_TRUE(wait_until([&] { return replica(0).batches[2].ended; }));
  EXPECT_EQ(replica(0).batches[2].failure, "");
}

TEST_F(FleetTest, ReportsAKillAndStartsAgain) {
  create(2);
  ASSERT_TRUE(wait_ready(0));
  ASSERT_TRUE(wait_ready(1));
  const int pid = pid_of(0);
  ASSERT_EQ(::kill(pid, SIGKILL), 0);
  ASSERT_TRUE(wait_until([&] { return !replica(0).exits.empty(); }, 1'000));
  const auto report = replica(0).exits[0];
  EXPECT_EQ(report.kind, core::ExitReport::Kind::signal);
  EXPECT_EQ(report.value, SIGKILL);
  EXPECT_FALSE(report.out_of_memory);
  EXPECT_EQ(pid_of(0), 0);
  EXPECT_FALSE(submit(0, 1, {{5}}));

  const TimeUs start = monotonic_us();
  {
    const std::lock_guard lock(mutex_);
    fleet_->start(0, 2);
  }
  ASSERT_TRUE(wait_ready(0, 2));
  EXPECT_LT(monotonic_us() - start, 2'000'000);
  EXPECT_FALSE(submit(0, 2, {{5}}, 1)) << "the first process is gone";
  EXPECT_TRUE(submit(0, 3, {{5}}, 2));
  EXPECT_TRUE(wait_until([&] { return replica(0).batches[3].ended; }));
  EXPECT_TRUE(replica(1).exits.empty());
}

TEST_F(FleetTest, AFailedDeviceEndsItsReplicaWithTheBatchUnanswered) {
  create(2);
  for (ReplicaId id = 0; id < 2; ++id) ASSERT_TRUE(wait_ready(id));
  ASSERT_TRUE(submit(0, 1, {{5}, {104}}));
  ASSERT_TRUE(submit(1, 2, {{5}, {105}}));
  ASSERT_TRUE(wait_until([&] { return !replica(0).exits.empty() && !replica(1).exits.empty(); }));
  EXPECT_FALSE(replica(0).batches[1].ended);
  EXPECT_EQ(replica(0).exits[0].kind, core::ExitReport::Kind::exit_code);
  EXPECT_EQ(replica(0).exits[0].detail, "the device failed");
  EXPECT_FALSE(replica(0).exits[0].out_of_memory);
  EXPECT_FALSE(replica(1).batches[2].ended);
  EXPECT_EQ(replica(1).exits[0].detail, "the device is full");
  EXPECT_TRUE(replica(1).exits[0].out_of_memory);
}

TEST_F(FleetTest, TellsCrashFromExitFromHang) {
  create(3);
  for (ReplicaId id = 0; id < 3; ++id) ASSERT_TRUE(wait_ready(id));
  ASSERT_TRUE(submit(0, 1, {{5}, {kCrashId}}));
  ASSERT_TRUE(submit(1, 2, {{5}, {kExitId}}));
  ASSERT_TRUE(submit(2, 3, {{5}, {kHangId}}));
  ASSERT_TRUE(wait_until([&] { return !replica(0).exits.empty() && !replica(1).exits.empty(); }));
  EXPECT_EQ(replica(0).exits[0].kind, core::ExitReport::Kind::signal);
  EXPECT_EQ(replica(0).exits[0].value, SIGSEGV);
  EXPECT_EQ(replica(1).exits[0].kind, core::ExitReport::Kind::exit_code);
  EXPECT_EQ(replica(1).exits[0].value, 3);

  // The hang: CPU time goes on, the counter does not.
  ASSERT_TRUE(wait_until(
      [&] {
        const auto& samples = replica(2).samples;
        if (samples.empty() || samples.back().stopped) return false;
        // The first may be from before the text's turn.
        const auto hung = std::find_if(samples.begin(), samples.end(), [&](const auto& sample) {
          return sample.counter == samples.back().counter;
        });
        return samples.back().cpu_us - hung->cpu_us >= 500'000;
      },
      60'000));  // half a second of CPU time is long on a busy machine
  {
    const std::lock_guard lock(mutex_);
    fleet_->kill(2, 1);
  }
  ASSERT_TRUE(wait_until([&] { return !replica(2).exits.empty(); }));
  EXPECT_EQ(replica(2).exits[0].value, SIGKILL);
  EXPECT_FALSE(replica(2).exits[0].out_of_memory);
}

TEST_F(FleetTest, AStoppedReplicaIsNoticedIdleOrBusy) {
  create(2);
  ASSERT_TRUE(wait_ready(0));
  ASSERT_TRUE(wait_ready(1));
  for (ReplicaId id = 0; id < 2; ++id) {
    ASSERT_EQ(::kill(pid_of(id), SIGSTOP), 0);
    if (id == 1) {
      ASSERT_TRUE(submit(1, 1, {{5}}));
    }
    const TimeUs start = monotonic_us();
    ASSERT_TRUE(wait_until(
        [&] { return !replica(id).samples.empty() && replica(id).samples.back().stopped; }));
    EXPECT_LT(monotonic_us() - start, 500'000);
  }
  ::kill(pid_of(1), SIGCONT);
  ASSERT_TRUE(wait_until([&] { return replica(1).batches[1].ended; }));
  {
    const std::lock_guard lock(mutex_);
    fleet_->kill(0, 1);
  }
  ASSERT_TRUE(wait_until([&] { return !replica(0).exits.empty(); }));
}

// A script in the program's place, whose `mode` stops itself the first time and works then.
TEST_F(FleetTest, OneThatIsStoppedWhileItStartsIsNoticed) {
  const std::string fake = program_;
  for (const std::string mode : {"run", "pack"}) {
    program_ = folder_ + "/" + mode;
    std::ofstream(program_) << "#!/bin/sh\n"
                            << "[ $1 = " << mode << " ] && mkdir $0.begun && kill -STOP $$\n"
                            << "exec " << fake << " \"$@\"\n";
    std::filesystem::permissions(program_, std::filesystem::perms::owner_all);
    fleet_.reset();
    create(1);
    ASSERT_TRUE(wait_until([&] {
      return !replica(0).exits.empty() ||
             (!replica(0).samples.empty() && replica(0).samples.back().stopped);
    })) << mode;
    const std::lock_guard lock(mutex_);
    if (mode == "run") {
      EXPECT_TRUE(replica(0).samples.back().stopped);
    } else {
      ASSERT_FALSE(replica(0).exits.empty());
      EXPECT_EQ(replica(0).exits[0].kind, core::ExitReport::Kind::spawn_failed);
      EXPECT_NE(replica(0).exits[0].detail.find("KILL"), std::string::npos);
      fleet_->start(0, 2);
    }
  }
  EXPECT_TRUE(wait_ready(0, 2)) << "it was packed again";
}

TEST_F(FleetTest, StopEndsItOrderlyEvenWhileItHangs) {
  create(2);
  ASSERT_TRUE(wait_ready(0));
  ASSERT_TRUE(wait_ready(1));
  ASSERT_TRUE(submit(1, 1, {{kHangId}}));
  {
    const std::lock_guard lock(mutex_);
    fleet_->stop(0, 1);
    fleet_->stop(1, 1);
  }
  for (ReplicaId id = 0; id < 2; ++id) {
    ASSERT_TRUE(wait_until([&] { return !replica(id).exits.empty(); }, 900));
    EXPECT_EQ(replica(id).exits[0].kind, core::ExitReport::Kind::exit_code);
    EXPECT_EQ(replica(id).exits[0].value, 0);
  }
}

TEST_F(FleetTest, StopKillsOneThatCannotLeave) {
  create(1);
  ASSERT_TRUE(wait_ready(0));
  ASSERT_EQ(::kill(pid_of(0), SIGSTOP), 0);
  ASSERT_TRUE(wait_until([&] { return !replica(0).samples.empty(); })) << "until it is stopped";
  {
    const std::lock_guard lock(mutex_);
    fleet_->stop(0, 1);
  }
  ASSERT_TRUE(wait_until([&] { return !replica(0).exits.empty(); }, 5'000));
  EXPECT_EQ(replica(0).exits[0].value, SIGKILL);
}

TEST_F(FleetTest, PackFailureReachesEveryReplicaByName) {
  create(2, folder_ + "/nowhere");
  for (ReplicaId id = 0; id < 2; ++id) {
    ASSERT_TRUE(wait_until([&] { return !replica(id).exits.empty(); }));
    EXPECT_EQ(replica(id).exits[0].kind, core::ExitReport::Kind::spawn_failed);
    EXPECT_NE(replica(id).exits[0].detail.find("/nowhere/dimensions"), std::string::npos)
        << replica(id).exits[0].detail;
  }
  // The folder appears; the next start packs again.
  std::filesystem::create_directory(folder_ + "/nowhere");
  write_shape(folder_ + "/nowhere", kDimensions);
  {
    const std::lock_guard lock(mutex_);
    fleet_->start(0, 2);
  }
  ASSERT_TRUE(wait_ready(0, 2));
}

TEST_F(FleetTest, AnEngineThatDoesNotFitIsAnExitWithItsReason) {
  write_shape(folder_, kDimensions + 1);
  create(1);
  ASSERT_TRUE(wait_until([&] { return !replica(0).exits.empty(); }));
  EXPECT_EQ(replica(0).exits[0].kind, core::ExitReport::Kind::exit_code);
  EXPECT_EQ(replica(0).exits[0].value, 1);
  EXPECT_NE(replica(0).exits[0].detail.find("9"), std::string::npos) << replica(0).exits[0].detail;
}

TEST_F(FleetTest, ACancelledBatchStillEnds) {
  environment_.push_back("SHEAF_FAULT_SLOW_US=100000");
  create(1);
  ASSERT_TRUE(wait_ready(0));
  for (BatchId batch = 1; batch <= 3; ++batch) ASSERT_TRUE(submit(0, batch, {{5}}));
  {
    const std::lock_guard lock(mutex_);
    fleet_->cancel(0, 1, 3);
  }
  ASSERT_TRUE(wait_until([&] { return replica(0).batches[3].ended; }));
  EXPECT_EQ(replica(0).batches[1].rows.size(), 1u);
  EXPECT_EQ(replica(0).batches[3].rows.size(), 0u);
  EXPECT_TRUE(replica(0).exits.empty());
}

// A copy of a child's descriptor.
Fd borrow(int pid, int descriptor) {
  const Fd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  return Fd(static_cast<int>(::syscall(SYS_pidfd_getfd, process.get(), descriptor, 0)));
}

// A hostile replica, played by writing into its channel from here.
class HostileReplicaTest : public FleetTest {
 protected:
  // Maps the channel of replica 0, which has it as descriptor 5.
  channel::SharedHeader& open_channel() {
    const Fd fd = borrow(pid_of(0), 5);
    EXPECT_TRUE(fd);
    memory_ = std::move(*Mapping::map(fd.get(), *file_size(fd.get()), Mapping::Access::read_write));
    auto& header = *reinterpret_cast<channel::SharedHeader*>(memory_.data());
    result_ring_ =
        memory_.data() + channel::kHeaderBytes + channel::geometry_of(header.limits)->submit_bytes;
    return header;
  }
  // Writes a rows frame in front of all that the replica will say, and has it say something.
  void forge_rows(BatchId batch, std::uint32_t first, std::uint32_t items, std::uint32_t stride) {
    forge({{batch, first, items, stride, 0}});
  }
  // Of frames with 160 floats each, of which the first are `values`.
  void forge(const std::vector<channel::RowsBody>& frames, const std::vector<float>& values = {}) {
    auto& header = open_channel();
    constexpr std::size_t kBytes = sizeof(channel::FrameHead) + sizeof(channel::RowsBody) + 640;
    const channel::FrameHead head{kBytes, static_cast<std::uint32_t>(channel::FrameType::rows)};
    std::byte* at = result_ring_;
    for (const channel::RowsBody& body : frames) {
      std::memcpy(at, &head, sizeof head);
      std::memcpy(at + sizeof head, &body, sizeof body);
      std::copy(values.begin(), values.end(),
                reinterpret_cast<float*>(at + sizeof head + sizeof body));
      at += kBytes;
    }
    header.result_head.value = static_cast<std::uint64_t>(at - result_ring_);
    ring();
  }
  void ring() {
    const Fd event = borrow(pid_of(0), 6);
    const std::uint64_t one = 1;
    EXPECT_EQ(::write(event.get(), &one, sizeof one), 8);
  }
  void expect_protocol_error(const std::string& about) {
    ASSERT_TRUE(wait_until([&] { return !replica(0).exits.empty(); }, 2'000));
    EXPECT_EQ(replica(0).exits[0].kind, core::ExitReport::Kind::protocol_error);
    EXPECT_NE(replica(0).exits[0].detail.find(about), std::string::npos)
        << replica(0).exits[0].detail;
    EXPECT_TRUE(replica(0).batches.empty()) << "nothing of it was believed";
    EXPECT_TRUE(replica(1).exits.empty());
    ASSERT_TRUE(submit(1, 50, {{5}})) << "the others go on";
    ASSERT_TRUE(wait_until([&] { return replica(1).batches[50].ended; }));
  }
  void begin(Output output = Output::vector) {
    environment_.push_back("SHEAF_FAULT_SLOW_US=300000");
    create(2);
    ASSERT_TRUE(wait_ready(0));
    ASSERT_TRUE(wait_ready(1));
    ASSERT_TRUE(submit(0, 1, {{5}, {6}, {7}}, 1, output));
  }

  Mapping memory_;
  std::byte* result_ring_ = nullptr;
};

TEST_F(HostileReplicaTest, CorruptPosition) {
  begin();
  open_channel().result_head.value = 12'345;
  ring();
  expect_protocol_error("position");
}
TEST_F(HostileReplicaTest, RowsOfAnotherBatch) {
  begin();
  forge_rows(2, 0, 1, kDimensions);
  expect_protocol_error("batch 2");
}
TEST_F(HostileReplicaTest, RowsBeyondTheBatch) {
  begin();
  forge_rows(1, 2, 2, kDimensions);
  expect_protocol_error("2 to 4");
}
TEST_F(HostileReplicaTest, RowsWhoseEndWraps) {
  begin();
  forge_rows(1, 0xffffffff, 2, kDimensions);
  expect_protocol_error("batch of 3");
}
TEST_F(HostileReplicaTest, RowsOfAnotherWidth) {
  begin();
  forge_rows(1, 0, 1, kDimensions + 1);
  expect_protocol_error("9 floats");
}

TEST_F(HostileReplicaTest, ARowThatNeverEnds) {
  begin();
  forge({{1, 0, 1, 6, 1}, {1, 0, 1, 6, 1}});
  expect_protocol_error("more than 8 floats");
}
TEST_F(HostileReplicaTest, ARowWithinAnother) {
  begin(Output::tokens);
  forge({{1, 0, 1, 100, 1}, {1, 1, 1, 100, 1}});
  expect_protocol_error("row 0 is not complete");
}
TEST_F(HostileReplicaTest, ARowOfPartsOfAToken) {
  begin(Output::tokens);
  forge({{1, 0, 1, 100, 1}, {1, 0, 1, 100, 0}});
  expect_protocol_error("200 floats");
}
TEST_F(HostileReplicaTest, TermsOutsideTheVocabulary) {
  begin(Output::sparse);
  forge({{1, 0, 1, 4, 0}}, {5, 1, kVocabulary, 1});
  expect_protocol_error("vocabulary");
}
TEST_F(HostileReplicaTest, TermsOutOfOrderAcrossParts) {
  begin(Output::sparse);
  forge({{1, 0, 1, 2, 1}, {1, 0, 1, 2, 0}}, {5, 1});
  expect_protocol_error("vocabulary");
}
TEST_F(HostileReplicaTest, SeveralSparseRowsAtOnce) {
  begin(Output::sparse);
  forge({{1, 0, 3, 0, 0}});
  expect_protocol_error("varying length");
}

TEST_F(FleetTest, AHostileReplicaMayNotFloodItsControlSocket) {
  create(1);
  ASSERT_TRUE(wait_ready(0));
  const Fd control = borrow(pid_of(0), 3);
  ASSERT_TRUE(control);
  const std::string flood(4'096, 'x');
  for (int i = 0; i < 8; ++i)
    (void)!::send(control.get(), flood.data(), flood.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  ASSERT_TRUE(wait_until([&] { return !replica(0).exits.empty(); }));
  EXPECT_EQ(replica(0).exits[0].kind, core::ExitReport::Kind::protocol_error);
}

// On simulated cards, which nvml_sim drives as in tests/e2e. A replica on each of the first ones.
class CardsTest : public FleetTest {
 protected:
  CardsTest() {
    ::setenv("SHEAF_NVML", SHEAF_BIN_DIR "/libsheaf-nvml-sim.so", 1);
    ::setenv("SHEAF_NVML_SIM_STATE", (folder_ + "/cards").c_str(), 1);
    drive("create l4 l4 l4");
  }
  ~CardsTest() override {
    fleet_.reset();
    ::unsetenv("SHEAF_NVML");
    ::unsetenv("SHEAF_NVML_SIM_STATE");
  }

  void drive(const std::string& words) {
    const std::string command = SHEAF_BIN_DIR "/nvml_sim " + folder_ + "/cards " + words;
    ASSERT_EQ(std::system(command.c_str()), 0) << command;
  }
  void lose(int card, bool lost = true) {
    drive("set " + std::to_string(card) + " lost " + (lost ? "1" : "0"));
  }

  slices::Placement placement(std::uint32_t replicas) override {
    const auto nvml = slices::Nvml::open();
    EXPECT_TRUE(nvml.ok());
    const slices::Wish wish{.model = "fake",
                            .on_cards = true,
                            .replicas = replicas,
                            .replica_bytes = 1 << 20,
                            .processes = ranks_};
    auto placed = slices::place(*slices::detect_machine(), *slices::read_gpus(*nvml, nullptr),
                                {&wish, 1}, rules_);
    EXPECT_TRUE(placed.ok());
    return std::get<slices::Placement>(std::move(*placed));
  }
  std::string slice_of(ReplicaId id) {
    const std::lock_guard lock(mutex_);
    return fleet_->slice_name(id);
  }
  slices::PlacementRules rules_ = {.slices_folder = slices_folder()};
  void start_again(ReplicaId id, Incarnation incarnation) {
    const std::lock_guard lock(mutex_);
    fleet_->start(id, incarnation);
  }
  std::string slices_folder() const { return folder_ + "/slices"; }
  std::vector<slices::Lease> leases() const { return *slices::list_leases(slices_folder()); }
  bool reach_leases(std::size_t count) const {
    const TimeUs late_us = monotonic_us() + 10'000'000;
    while (leases().size() != count && monotonic_us() < late_us) std::this_thread::yield();
    return leases().size() == count;
  }
  static slices::LeaseRequest lease_of(const std::string& slice) {
    slices::LeaseRequest request;
    request.need.slice = slice;
    return request;
  }
  std::string environment_of(ReplicaId id) {
    std::ifstream file("/proc/" + std::to_string(pid_of(id)) + "/environ");
    return {std::istreambuf_iterator<char>(file), {}};
  }
};

TEST_F(CardsTest, TheirProgramPacksTheWeightsToo) {
  cores_program_ = "/bin/false";
  create(1);
  EXPECT_TRUE(wait_ready(0));
}

TEST_F(CardsTest, AReplicaWhoseCardVanishesMovesToAFreeOne) {
  create(2);
  ASSERT_TRUE(wait_ready(0) && wait_ready(1));
  EXPECT_EQ(slice_of(0), "gpu:0");
  EXPECT_EQ(slice_of(1), "gpu:1");
  const std::string first = environment_of(0);
  EXPECT_NE(first.find("CUDA_VISIBLE_DEVICES=GPU-"), std::string::npos);
  ASSERT_TRUE(submit(0, 1, {{kHangId}}));
  const TimeUs lost_us = monotonic_us();
  lose(0);
  ASSERT_TRUE(wait_until([&] { return !replica(0).exits.empty(); }));
  EXPECT_LT(monotonic_us() - lost_us, 5'000'000);
  EXPECT_EQ(replica(0).exits[0].kind, core::ExitReport::Kind::slice_lost);
  EXPECT_EQ(replica(0).exits[0].detail, "gpu:0 vanished");
  start_again(0, 2);
  ASSERT_TRUE(wait_ready(0, 2));
  EXPECT_EQ(slice_of(0), "gpu:2");
  EXPECT_NE(environment_of(0), first);
  EXPECT_EQ(replica(0).waits_said, 0);
  EXPECT_TRUE(replica(1).exits.empty()) << "the other card is fine";
}

TEST_F(CardsTest, ARankWhoseCardVanishesTakesItsGroupAlong) {
  ranks_ = 2;
  create(1);
  ASSERT_TRUE(wait_ready(0));
  EXPECT_EQ(slice_of(0), "gpu:0,gpu:1");
  EXPECT_TRUE(reach_leases(2)) << "each of its cards is taken";
  lose(1);
  ASSERT_TRUE(wait_until([&] { return !replica(0).exits.empty(); }));
  EXPECT_EQ(replica(0).exits[0].kind, core::ExitReport::Kind::slice_lost);
  EXPECT_EQ(replica(0).exits[0].detail, "gpu:1 vanished");
  start_again(0, 2);
  ASSERT_TRUE(wait_ready(0, 2));
  EXPECT_EQ(slice_of(0), "gpu:0,gpu:2");
  {
    const std::lock_guard lock(mutex_);
    fleet_->card_failed({.gpu = 2, .for_good = true, .what = "Xid 79"});
  }
  ASSERT_TRUE(wait_until([&] { return replica(0).exits.size() == 2; }));
  EXPECT_EQ(replica(0).exits[1].detail, "gpu:2 was lost to Xid 79");
  start_again(0, 3);
  ASSERT_TRUE(wait_until([&] { return !replica(0).waits.empty(); }));
  EXPECT_EQ(replica(0).waits,
            "slice gpu:2 was lost to Xid 79, and no free slice of its kind has "
            "1.0 MiB to use");
}

TEST_F(CardsTest, AGroupKeepsTheCardsThatAreThere) {
  drive("create l4 l4 l4 l4");
  ranks_ = 2;
  create(2);
  ASSERT_TRUE(wait_ready(0) && wait_ready(1));
  for (const int card : {0, 2}) lose(card);
  ASSERT_TRUE(wait_until([&] { return !replica(0).exits.empty() && !replica(1).exits.empty(); }));
  for (const ReplicaId id : {0, 1}) start_again(id, 2);
  ASSERT_TRUE(wait_until([&] { return !replica(0).waits.empty() && !replica(1).waits.empty(); }))
      << "neither takes the other's second card";
  EXPECT_TRUE(reach_leases(2)) << "which each of them keeps";
  for (const int card : {2, 0}) lose(card, false);
  ASSERT_TRUE(wait_ready(0, 2) && wait_ready(1, 2));
  EXPECT_EQ(slice_of(0).substr(6), "gpu:1");
  EXPECT_EQ(slice_of(1).substr(6), "gpu:3");
}

TEST_F(CardsTest, AReplicaWaitsUntilThereIsACard) {
  create(3);
  for (ReplicaId id = 0; id < 3; ++id) ASSERT_TRUE(wait_ready(id));
  lose(1);
  ASSERT_TRUE(wait_until([&] { return !replica(1).exits.empty(); }));
  start_again(1, 2);
  ASSERT_TRUE(wait_until([&] { return !replica(1).waits.empty(); }));
  EXPECT_EQ(replica(1).waits,
            "slice gpu:1 vanished, and no free slice of its kind has 1.0 MiB to use");
  EXPECT_EQ(pid_of(1), 0);
  lose(1, false);
  ASSERT_TRUE(wait_ready(1, 2));
  // Said in a turn of its own, which may come later on a busy machine.
  ASSERT_TRUE(wait_until([&] { return replica(1).waits_said == 2; }));
  EXPECT_EQ(replica(1).waits, "");
  EXPECT_EQ(slice_of(1), "gpu:1");
}

TEST_F(CardsTest, ACardThatFailedIsLeftByItsReplicasAlone) {
  create(2);
  {
    // Before the cards were read for the first time, too.
    const std::lock_guard lock(mutex_);
    fleet_->card_failed({.gpu = 1, .for_good = true, .what = "Xid 79"});
  }
  ASSERT_TRUE(wait_ready(0));
  // It may have had a process already.
  bool restarted = false;
  ASSERT_TRUE(wait_until([&] {
    if (!restarted && !replica(1).exits.empty()) {
      restarted = true;
      fleet_->start(1, 2);
    }
    return fleet_->slice_name(1) == "gpu:2" && !fleet_->pids(1).empty();
  }));
  EXPECT_TRUE(replica(0).exits.empty());
  {
    const std::lock_guard lock(mutex_);
    fleet_->card_failed({.gpu = 0, .gpu_instance = 3, .what = "Xid 94"});
  }
  ASSERT_TRUE(wait_until([&] { return !replica(0).exits.empty(); }));
  EXPECT_EQ(replica(0).exits[0].kind, core::ExitReport::Kind::slice_lost);
  start_again(0, 2);
  ASSERT_TRUE(wait_ready(0, 2));
  EXPECT_EQ(slice_of(0), "gpu:0") << "well again";
}

TEST_F(CardsTest, ACardThatIsWellIsUsedAgain) {
  create(3);
  for (ReplicaId id = 0; id < 3; ++id) ASSERT_TRUE(wait_ready(id));
  {
    const std::lock_guard lock(mutex_);
    fleet_->card_failed({.gpu = 1, .for_good = true, .what = "Xid 48"});
  }
  ASSERT_TRUE(wait_until([&] { return !replica(1).exits.empty(); }));
  start_again(1, 2);
  ASSERT_TRUE(wait_until([&] { return !replica(1).waits.empty(); }));
  {
    const std::lock_guard lock(mutex_);
    fleet_->card_is_well(1);
  }
  ASSERT_TRUE(wait_ready(1, 2));
  EXPECT_EQ(slice_of(1), "gpu:1");
}

// Two clients of one MPS daemon: a process that sleeps, which this keeps as a keeper would.
class MpsClientsTest : public CardsTest {
 protected:
  MpsClientsTest() {
    rules_.num_gpus = 1;
    rules_.assignment = slices::Assignment::mps;
    want_mps_ = [this](const std::string& uuid) { wanted_.insert(uuid); };
    daemon_.text = "GPU 0";
  }
  ~MpsClientsTest() override { end(); }

  slices::Placement placement(std::uint32_t replicas) override {
    slices::Placement placed = CardsTest::placement(replicas);
    daemon_.uuid = placed.replicas[0].slice.uuid;
    return placed;
  }
  void keep() const {
    const std::string base = slices_folder() + "/mps/" + daemon_.uuid;
    std::filesystem::create_directories(base);
    ASSERT_TRUE(slices::replace_file(base + "/state", nlohmann::json(daemon_).dump()).ok());
  }
  void begin() {
    const int pid = ::fork();
    if (pid == 0) {
      for (;;) ::pause();
    }
    daemon_.process = *slices::identify(pid);
    ++daemon_.generation;
    keep();
  }
  void end() {
    if (daemon_.process.pid == 0) return;
    ::kill(daemon_.process.pid, SIGKILL);
    ::waitpid(daemon_.process.pid, nullptr, 0);
    daemon_.process = {};
  }
  // Both replicas die as of one cause, and are asked to start again.
  void expect_loss(Incarnation incarnation) {
    ASSERT_TRUE(wait_until([&] {
      return replica(0).exits.size() == incarnation && replica(1).exits.size() == incarnation;
    }));
    for (ReplicaId id = 0; id < 2; ++id) {
      EXPECT_EQ(replica(id).exits.back().kind, core::ExitReport::Kind::slice_lost);
      start_again(id, incarnation + 1);
    }
  }
  bool both_ready(Incarnation incarnation) {
    return wait_ready(0, incarnation) && wait_ready(1, incarnation);
  }

  slices::MpsDaemon daemon_;
  std::set<std::string> wanted_;  // guarded by mutex_
};

TEST_F(MpsClientsTest, WaitForTheirDaemonAndShareItsFate) {
  create(2);
  ASSERT_TRUE(wait_until([&] { return !replica(0).waits.empty() && !replica(1).waits.empty(); }));
  EXPECT_EQ(replica(0).waits, "slice mps:0#0 has no MPS daemon yet");
  EXPECT_EQ(pid_of(0), 0);
  begin();
  ASSERT_TRUE(both_ready(1));
  EXPECT_EQ(replica(0).waits, "");
  EXPECT_EQ(wanted_, std::set<std::string>{daemon_.uuid});

  end();  // nobody has started it again yet
  expect_loss(1);
  ASSERT_TRUE(wait_until([&] { return !replica(0).waits.empty() && !replica(1).waits.empty(); }));
  begin();
  ASSERT_TRUE(both_ready(2));

  end();
  begin();  // at once
  expect_loss(2);
  ASSERT_TRUE(both_ready(3));

  daemon_.last = {"fault", 1'700'000'000, {}};
  keep();
  expect_loss(3);
  ASSERT_TRUE(both_ready(4));
  EXPECT_EQ(slice_of(1), "mps:0#1");

  end();  // and they die of it by themselves, perhaps before the watch sees why
  for (ReplicaId id = 0; id < 2; ++id) ::kill(pid_of(id), SIGKILL);
  expect_loss(4);
}

TEST_F(CardsTest, CardsAreLeasedAndGivenBackToWhoAsks) {
  create(1);
  ASSERT_TRUE(wait_ready(0) && reach_leases(1));
  EXPECT_TRUE(leases()[0].drainable && leases()[0].need.shared);
  EXPECT_EQ(leases()[0].slice.text, "GPU 0");
  // Another task has the next one to itself.
  ASSERT_TRUE(slices::request_lease(slices_folder(), lease_of("gpu:1"))->lease);
  EXPECT_EQ(slices::request_lease(slices_folder(), lease_of("gpu:0")).error().message,
            "gpu:0 not free: GPU 0 is used by sheaf serve, process " + std::to_string(getpid()));
  auto drain = lease_of("gpu:0");
  drain.drain = true;
  drain.wait_ms = 20'000;
  auto drained =
      std::async(std::launch::async, [&] { return slices::acquire_lease(slices_folder(), drain); });
  ASSERT_TRUE(wait_until([&] { return !replica(0).exits.empty(); }));
  EXPECT_EQ(replica(0).exits[0].kind, core::ExitReport::Kind::slice_lost);
  start_again(0, 2);
  ASSERT_TRUE(wait_ready(0, 2));
  EXPECT_EQ(slice_of(0), "gpu:2");
  const auto lease = drained.get();
  ASSERT_TRUE(lease.ok()) << lease.error().message;
  EXPECT_EQ(lease->slice.text, "GPU 0");
  EXPECT_TRUE(reach_leases(3));
  fleet_.reset();
  EXPECT_EQ(leases().size(), 2u) << "its own is given back at the end";
}

TEST_F(CardsTest, WhoWaitsForACardCanBeStopped) {
  create(3);
  for (ReplicaId id = 0; id < 3; ++id) ASSERT_TRUE(wait_ready(id));
  lose(2);
  ASSERT_TRUE(wait_until([&] { return !replica(2).exits.empty(); }));
  start_again(2, 2);
  ASSERT_TRUE(wait_until([&] { return !replica(2).waits.empty(); }));
  {
    const std::lock_guard lock(mutex_);
    fleet_->stop(2, 2);
  }
  ASSERT_TRUE(wait_until([&] { return replica(2).exits.size() == 2; }));
  EXPECT_EQ(replica(2).exits[1].kind, core::ExitReport::Kind::spawn_failed);
}

// A router that is killed leaves no replica behind: not an idle one, not one that hangs, and not
// one that is stopped. The router is a child of this process, in a session of its own as under
// any service manager; we adopt its orphans.
TEST_F(FleetTest, NoReplicaOutlivesAKilledRouter) {
  ASSERT_EQ(::prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  int pipe_ends[2];
  ASSERT_EQ(::pipe2(pipe_ends, O_CLOEXEC), 0);
  const int router = ::fork();
  if (router == 0) {
    ::setsid();
    create(3);
    std::array<int, 3> pids{};
    for (ReplicaId id = 0; id < 3; ++id) {
      if (!wait_ready(id)) ::_exit(1);
      pids[id] = pid_of(id);
    }
    ::kill(pids[0], SIGSTOP);
    if (!submit(1, 1, {{kHangId}})) ::_exit(1);
    if (!wait_until([&] { return !replica(0).samples.empty(); })) ::_exit(1);  // it is stopped
    (void)!::write(pipe_ends[1], pids.data(), sizeof pids);
    for (;;) ::pause();
  }
  std::array<int, 3> pids{};
  ASSERT_EQ(::read(pipe_ends[0], pids.data(), sizeof pids), static_cast<ssize_t>(sizeof pids));
  ASSERT_EQ(::kill(router, SIGKILL), 0);
  ASSERT_EQ(::waitpid(router, nullptr, 0), router);
  for (const int pid : pids) {
    const TimeUs limit = monotonic_us() + 5'000'000;
    int reaped = 0;
    while ((reaped = ::waitpid(pid, nullptr, WNOHANG)) == 0 && monotonic_us() < limit)
      ::usleep(1'000);
    EXPECT_EQ(reaped, pid) << "it lives on";
    if (reaped == 0) ::kill(pid, SIGKILL);
  }
  ::close(pipe_ends[0]);
  ::close(pipe_ends[1]);
}

TEST_F(FleetTest, ChildrenHaveOnlyTheirOwnDescriptors) {
  const Fd leak(::open("/dev/null", O_RDONLY));  // without close-on-exec
  create(1);
  ASSERT_TRUE(wait_ready(0));
  std::set<int> descriptors;
  for (const auto& entry :
       std::filesystem::directory_iterator("/proc/" + std::to_string(pid_of(0)) + "/fd"))
    descriptors.insert(std::stoi(entry.path().filename()));
  EXPECT_EQ(descriptors, (std::set<int>{0, 1, 2, 3, 4, 5, 6}));
}

TEST_F(FleetTest, NoChildOutlivesTheFleet) {
  create(3);
  std::vector<int> pids;
  for (ReplicaId id = 0; id < 3; ++id) {
    ASSERT_TRUE(wait_ready(id));
    pids.push_back(pid_of(id));
  }
  ::kill(pids[0], SIGSTOP);
  ASSERT_TRUE(submit(1, 1, {{kHangId}}));
  fleet_.reset();
  for (const int pid : pids) EXPECT_FALSE(alive(pid));
}

}  // namespace
}  // namespace sheaf::fleet
