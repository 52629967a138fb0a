#include "slices/mps.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <thread>

#include "slices/durable_file.h"
#include "slices/mps_keeper.h"
#include "slices/mps_request.h"

namespace sheaf::slices {
namespace {

constexpr char kCard[] = "GPU-1";
constexpr char kStandIn[] = SHEAF_SOURCE_DIR "/tests/tools/nvidia-cuda-mps-control";

// Drives tests/tools/nvidia-cuda-mps-control in a folder of its own.
class MpsTest : public testing::Test {
 protected:
  MpsTest() {
    std::string name = std::filesystem::temp_directory_path().string() + "/sheaf-mps-XXXXXX";
    folder = mkdtemp(name.data());
    use_program(kStandIn);
    setenv("SHEAF_MPS_CONTROL", (folder + "/program").c_str(), 1);
  }
  ~MpsTest() override {
    if (const auto daemons = kept_mps(folder); daemons.ok())
      for (const MpsDaemon& daemon : *daemons) {
        if (daemon.process.pid > 0) kill(-daemon.process.pid, SIGKILL);  // its servers too
      }
    std::filesystem::remove_all(folder);
    unsetenv("SHEAF_MPS_CONTROL");
    unsetenv("MPS_STAND_IN");
  }

  Result<MpsDaemon> start(const MpsSettings& settings = {}) {
    SHEAF_ASSIGN(MigJournal journal, MigJournal::open(folder, 5000, "test"));
    return start_mps(journal, kCard, "GPU 1", settings);
  }
  Status stop(bool force = false) {
    SHEAF_ASSIGN(MigJournal journal, MigJournal::open(folder, 5000, "test"));
    return stop_mps(journal, kCard, force);
  }
  std::string ask(const std::string& command, int timeout_ms = 10'000) {
    const auto answer = MpsControl::find()->ask(MpsFolders(folder, kCard), command, timeout_ms);
    return answer.ok() ? *answer : answer.error().message;
  }
  // By a link: threads read the environment meanwhile.
  void use_program(const std::string& path) {
    std::filesystem::create_symlink(path, folder + "/program.new");
    std::filesystem::rename(folder + "/program.new", folder + "/program");
  }
  MpsDaemon kept() { return kept_mps(folder)->at(0); }
  static bool wait_until(const std::function<bool()>& reached) {
    for (int i = 0; i < 2000 && !reached(); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    return reached();
  }

  std::string folder;
};

TEST_F(MpsTest, StartsWithItsSettingsAndOneDevice) {
  const auto daemon = start({.thread_percentage = 30, .memory_limit_bytes = 3ull << 29});
  ASSERT_TRUE(daemon.ok()) << daemon.error().message;
  EXPECT_EQ(content_of(MpsFolders(folder, kCard).log + "/daemon.log"), "devices GPU-1\n");
  EXPECT_EQ(ask("get_default_active_thread_percentage"), "30.0");
  EXPECT_EQ(ask("get_default_device_pinned_mem_limit 0"), "1536M");
  const auto again = start({.thread_percentage = 60});
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->process, daemon->process);
  EXPECT_EQ(ask("get_default_active_thread_percentage"), "60.0");
  EXPECT_EQ(look_at_mps(folder, kept(), 5000).state, "running");
  EXPECT_EQ(refuse_mps(folder, {"GPU-0"}).ok(), true);
  EXPECT_EQ(refuse_mps(folder, {kCard}).error().message,
            "MPS runs on GPU 1: `sheaf slices mps stop --gpu GPU-1` first");
  ASSERT_TRUE(stop().ok());
  EXPECT_FALSE(is_alive(daemon->process));
  EXPECT_TRUE(kept_mps(folder)->empty());
  EXPECT_EQ(stop().error().message, "MPS was not started on GPU-1");
}

TEST_F(MpsTest, SaysWhyItDoesNotStart) {
  setenv("MPS_STAND_IN", "refuse", 1);
  EXPECT_EQ(start().error().message,
            "the MPS daemon ended at its start: An instance of this daemon is refused\n");
  EXPECT_TRUE(kept_mps(folder)->empty());
  EXPECT_EQ(start({.thread_percentage = 0}).error().message,
            "0 % of threads are not to be had; 1 to 100 are");
  setenv("SHEAF_MPS_CONTROL", "/nowhere/mps", 1);
  EXPECT_NE(start().error().message.find("/nowhere/mps is not here, without which there is no MPS"),
            std::string::npos);
}

TEST_F(MpsTest, IsNotStoppedUnderItsClients) {
  ASSERT_TRUE(start().ok());
  ask("test client 4711");
  const MpsView view = look_at_mps(folder, kept(), 5000);
  ASSERT_EQ(view.servers.size(), 1u);
  EXPECT_EQ(view.servers[0].clients, std::vector<pid_t>{4711});
  EXPECT_EQ(view.servers[0].status, "ACTIVE");
  EXPECT_NE(stop().error().message.find("MPS of GPU 1 has clients: processes 4711"),
            std::string::npos);
  EXPECT_TRUE(stop(true).ok());
  EXPECT_TRUE(wait_until([&] { return kill(view.servers[0].pid, 0) != 0; }));
}

TEST_F(MpsTest, ADeadOneIsStartedAgainAndItsClientsAreNamed) {
  const auto first = start({.thread_percentage = 25});
  ASSERT_TRUE(first.ok());
  ask("test client 4711");
  ask("test client 4712");
  const MpsKeeper keeper({.folder = folder, .interval_ms = 20});
  ASSERT_TRUE(wait_until([&] { return kept().clients.size() == 2; }));
  const ProcessIdentity server = kept().servers.at(0);
  kill(first->process.pid, SIGKILL);
  ASSERT_TRUE(wait_until([&] { return kept().generation == 2; }));
  const MpsDaemon now = kept();
  EXPECT_EQ(now.last.what, "ended");
  EXPECT_EQ(now.last.clients, (std::vector<pid_t>{4711, 4712}));
  EXPECT_FALSE(now.process == first->process);
  EXPECT_FALSE(is_alive(server));
  EXPECT_EQ(ask("get_default_active_thread_percentage"), "25.0");
}

TEST_F(MpsTest, AHungOneIsKilledAndStartedAgain) {
  const auto first = start();
  ASSERT_TRUE(first.ok());
  ask("test hang", 300);  // it never answers again
  const MpsKeeper keeper(
      {.folder = folder, .interval_ms = 20, .answer_ms = 300, .silences_max = 2});
  ASSERT_TRUE(wait_until([&] { return kept().generation == 2; }));
  EXPECT_EQ(kept().last.what, "hung");
  EXPECT_FALSE(is_alive(first->process));
  EXPECT_TRUE(is_alive(kept().process));
}

TEST_F(MpsTest, AFaultNamesWhoMustStartAgain) {
  ASSERT_TRUE(start().ok());
  ask("test client 4711");
  ask("test fault");
  const MpsKeeper keeper({.folder = folder, .interval_ms = 20});
  ASSERT_TRUE(wait_until([&] { return kept().last.what == "fault"; }));
  EXPECT_EQ(kept().last.clients, std::vector<pid_t>{4711});
  EXPECT_EQ(kept().generation, 1u);
}

TEST_F(MpsTest, OneThatCannotStartIsTriedAgain) {
  const auto first = start();
  ASSERT_TRUE(first.ok());
  use_program("/bin/false");
  kill(first->process.pid, SIGKILL);
  const MpsKeeper keeper({.folder = folder, .interval_ms = 10, .retry_max_ms = 50});
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_EQ(kept().generation, 1u);
  use_program(kStandIn);
  EXPECT_TRUE(wait_until([&] { return kept().generation == 2; }));
}

TEST_F(MpsTest, StoppedMeansStopped) {
  const auto first = start();
  ASSERT_TRUE(first.ok());
  const MpsKeeper keeper({.folder = folder, .interval_ms = 5});
  ASSERT_TRUE(stop().ok());
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_TRUE(kept_mps(folder)->empty());
  EXPECT_FALSE(std::filesystem::exists(MpsFolders(folder, kCard).base));
}

TEST(Mps, EnvironmentOfAClient) {
  EXPECT_EQ(mps_client_environment("/run/s", "MIG-a", 40, 2ull << 30),
            (std::vector<std::string>{
                "CUDA_MPS_PIPE_DIRECTORY=/run/s/mps/MIG-a/pipe", "CUDA_VISIBLE_DEVICES=MIG-a",
                "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE=40", "CUDA_MPS_PINNED_DEVICE_MEM_LIMIT=0=2G"}));
  EXPECT_EQ(mps_client_environment("/run/s", "G", 100, 0).size(), 3u);
  EXPECT_EQ(mps_memory_text(1), "1M");
  EXPECT_EQ(mps_memory_text((3ull << 30) - 1), "3071M");
  EXPECT_EQ(mps_memory_text(40ull << 30), "40G");
}

TEST(Mps, RequestsAreReadAsWritten) {
  MpsRequest request{.verb = MpsRequest::Verb::start, .places = {"0:1"}, .force = true};
  request.settings = {50, 1 << 20};
  const auto again = parse_mps_request(to_text(request));
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(to_text(*again), to_text(request));
  EXPECT_FALSE(parse_mps_request("{\"about\":\"mps\",\"verb\":\"x\"}").ok());
  EXPECT_FALSE(parse_mps_request("[").ok());
}

}  // namespace
}  // namespace sheaf::slices
