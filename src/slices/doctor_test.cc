#include "slices/doctor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

namespace sheaf::slices {
namespace {

Gpu healthy() {
  Gpu gpu;
  gpu.name = "NVIDIA H100 80GB HBM3";
  gpu.pci_id = 0x233010DE;
  gpu.compute_capability_major = 9;
  gpu.memory_bytes = gpu.free_bytes = 80ull << 30;
  gpu.persistence = gpu.ecc_enabled = true;
  gpu.pcie = Nvml::PcieLink{5, 5, 16, 16};
  gpu.mig = Nvml::MigMode{};
  return gpu;
}

GpuInventory with(const Gpu& gpu) { return {"580.65.06", "13.580", 13000, {gpu}, {}}; }

HostFacts good_host() {
  HostFacts host;
  host.machine.cores = {{0, 0}};
  host.open_files_max = 1 << 20;
  host.locked_memory_bytes = UINT64_MAX;
  host.has_mig_capabilities = true;
  return host;
}

// The one finding that is not ok.
Finding complaint(const GpuInventory& gpus, const HostFacts& host) {
  Finding found;
  int complaints = 0;
  for (const Finding& finding : examine(gpus, host, "")) {
    if (finding.health == Health::ok) continue;
    found = finding;
    ++complaints;
  }
  EXPECT_EQ(complaints, 1) << found.what;
  EXPECT_NE(found.why, "") << found.what;
  return found;
}

TEST(Doctor, NothingToSayOfAHealthyMachine) {
  const auto findings = examine(with(healthy()), good_host(), "");
  EXPECT_GE(findings.size(), 7u);
  EXPECT_EQ(worst_of(findings), Health::ok);
}

struct Case {
  const char* what;
  Health health;
  Question question;
  std::function<void(Gpu&, HostFacts&)> spoil;
};

TEST(Doctor, EachFaultIsOneComplaint) {
  const std::vector<Case> cases = {
      {"persistence mode is off", Health::warning, Question::run,
       [](Gpu& gpu, HostFacts&) { gpu.persistence = false; }},
      {"sheaf has no code for compute capability 9.5", Health::error, Question::run,
       [](Gpu& gpu, HostFacts&) { gpu.compute_capability_minor = 5; }},
      {"there is no sheaf-replica-cuda beside sheaf-replica", Health::warning, Question::run,
       [](Gpu&, HostFacts& host) { host.card_program = HostFacts::CardProgram{}; }},
      {"sheaf-replica-cuda: it hangs", Health::error, Question::run,
       [](Gpu&, HostFacts& host) {
         host.card_program = HostFacts::CardProgram{"/bin/it", "sheaf-replica-cuda: it hangs"};
       }},
      {"only 1.0 GiB of its memory is free", Health::warning, Question::run,
       [](Gpu& gpu, HostFacts&) { gpu.free_bytes = 1 << 30; }},
      {"its compute mode is prohibited", Health::error, Question::run,
       [](Gpu& gpu, HostFacts&) { gpu.compute_mode = 2; }},
      {"its PCIe link is 5.0 x8 of 5.0 x16", Health::warning, Question::run,
       [](Gpu& gpu, HostFacts&) { gpu.pcie->width = 8; }},
      {"its PCIe link is 1.0 x16 of 5.0 x16", Health::warning, Question::run,
       [](Gpu& gpu, HostFacts&) {
         gpu.pcie->generation = 1;
         gpu.utilization_percent = 90;
       }},
      {"its clocks are held down by heat, by hardware", Health::warning, Question::run,
       [](Gpu& gpu, HostFacts&) { gpu.throttle_reasons = 0x41; }},
      {"a row of its memory could not be remapped", Health::error, Question::run,
       [](Gpu& gpu, HostFacts&) {
         gpu.remapped_rows = Nvml::RemappedRows{0, 1, true, true};
       }},
      {"memory waits to be retired", Health::warning, Question::run,
       [](Gpu& gpu, HostFacts&) { gpu.retired_pages_pending = true; }},
      {"3 uncorrected memory errors since the boot", Health::warning, Question::run,
       [](Gpu& gpu, HostFacts&) { gpu.uncorrected_ecc_errors = 3; }},
      {"the driver asks for a reboot of the machine", Health::error, Question::run,
       [](Gpu& gpu, HostFacts&) { gpu.recovery_action = 2; }},
      {"it hangs on NUMA node 3, where this process may use no core", Health::warning,
       Question::run, [](Gpu& gpu, HostFacts&) { gpu.numa_node = 3; }},
      {"MIG will be on after a reset", Health::warning, Question::cut,
       [](Gpu& gpu, HostFacts&) { gpu.mig->pending = true; }},
      {"MIG is on and it holds no instance", Health::error, Question::run,
       [](Gpu& gpu, HostFacts&) {
         gpu.mig = Nvml::MigMode{true, true};
       }},
      {"it is in use by 17 python", Health::warning, Question::cut,
       [](Gpu& gpu, HostFacts&) {
         gpu.processes = {{17, "python"}};
       }},
      {"/proc/driver/nvidia/capabilities/mig/config is missing", Health::error, Question::cut,
       [](Gpu&, HostFacts& host) { host.has_mig_capabilities = false; }},
      {"/dev/nvidiactl missing", Health::error, Question::run,
       [](Gpu&, HostFacts& host) { host.missing_nodes = {"/dev/nvidiactl"}; }},
      {"NVIDIA_DRIVER_CAPABILITIES=compute lacks utility", Health::error, Question::machine,
       [](Gpu&, HostFacts& host) { host.driver_capabilities = "compute"; }},
      {"Docker is here without NVIDIA's container toolkit", Health::warning, Question::machine,
       [](Gpu&, HostFacts& host) { host.has_docker = true; }},
      {"only 1024 open files are allowed", Health::warning, Question::machine,
       [](Gpu&, HostFacts& host) { host.open_files_max = 1024; }},
      {"only 64.0 KiB may be locked in memory", Health::warning, Question::machine,
       [](Gpu&, HostFacts& host) { host.locked_memory_bytes = 64 << 10; }},
      {"0.5 cores' worth of time are granted on 1 cores", Health::warning, Question::machine,
       [](Gpu&, HostFacts& host) { host.machine.core_quota = 0.5; }},
      {"950 B of the 1000 B that may be used are used", Health::warning, Question::machine,
       [](Gpu&, HostFacts& host) {
         host.cgroup = {1000, 950, 0};
       }},
      {"2 processes were killed for want of memory", Health::warning, Question::machine,
       [](Gpu&, HostFacts& host) {
         host.cgroup = {1000, 500, 2};
       }},
  };
  for (const Case& one : cases) {
    Gpu gpu = healthy();
    HostFacts host = good_host();
    one.spoil(gpu, host);
    const Finding found = complaint(with(gpu), host);
    EXPECT_EQ(found.what, one.what);
    EXPECT_EQ(found.health, one.health) << one.what;
    EXPECT_EQ(found.question, one.question) << one.what;
    EXPECT_NE(found.repair, "") << one.what;
  }
}

TEST(Doctor, DriversAreOldForOneQuestionOrBoth) {
  GpuInventory gpus = with(healthy());
  gpus.cuda_version = 11040;
  gpus.driver_version = "470.256.02";
  const auto findings = examine(gpus, good_host(), "");
  const auto old = std::ranges::find(
      findings, "driver 470.256.02, CUDA 11.4 is older than CUDA 12 of what `make cuda-12` builds",
      &Finding::what);
  ASSERT_NE(old, findings.end());
  EXPECT_EQ(old->repair, "install driver 525 or newer");
  gpus.cuda_version = 13000;
  gpus.driver_version = "525.85.05";
  EXPECT_EQ(complaint(gpus, good_host()).what, "driver 525.85.05, CUDA 13.0 is too old to cut it");
}

TEST(Doctor, AnOlderDriverHasABuildOfItsOwnAndFewerCards) {
  GpuInventory gpus = with(healthy());
  gpus.cuda_version = 12040;
  gpus.driver_version = "550.90.07";
  const auto findings = examine(gpus, good_host(), "");
  EXPECT_EQ(worst_of(findings), Health::ok);
  for (const char* what : {"driver 550.90.07, CUDA 12.4 runs what `make cuda-12` builds",
                           "compute capability 9.0: `make cuda-12` builds code for it"})
    EXPECT_EQ(std::ranges::count(findings, what, &Finding::what), 1) << what;
  gpus.gpus[0].compute_capability_major = 10;
  EXPECT_EQ(complaint(gpus, good_host()).what,
            "compute capability 10.0: this driver does not run what `make release-cuda` builds for "
            "it");
  EXPECT_EQ(complaint(gpus, good_host()).repair, "install driver 580 or newer");
}

TEST(Doctor, SeveralCardsWantTheFabricManager) {
  Gpu gpu = healthy();
  gpu.nvlinks = 18;
  GpuInventory gpus = with(gpu);
  EXPECT_EQ(worst_of(examine(gpus, good_host(), "")), Health::ok);
  gpus.gpus.push_back(gpu);
  EXPECT_EQ(worst_of(examine(gpus, good_host(), "")), Health::warning);
  HostFacts host = good_host();
  host.fabric_manager_runs = true;
  EXPECT_EQ(worst_of(examine(gpus, host, "")), Health::ok);
}

class CrowdedCard : public testing::Test {
 protected:
  CrowdedCard() {
    gpus.gpus.push_back(healthy());
    busy().utilization_percent = 95;
    busy().processes = {{17, "a"}, {18, "b"}};
    idle().index = 1;
    idle().uuid = "GPU-idle";
  }
  Gpu& busy() { return gpus.gpus[0]; }
  Gpu& idle() { return gpus.gpus[1]; }
  std::optional<Finding> said() const {
    for (const Finding& finding : examine(gpus, good_host(), ""))
      if (finding.what.find("while nothing runs on") != std::string::npos) return finding;
    return std::nullopt;
  }
  GpuInventory gpus = with(healthy());
};

TEST_F(CrowdedCard, BesideAnIdleOneIsSaid) {
  const auto finding = said();
  ASSERT_TRUE(finding);
  EXPECT_EQ(finding->health, Health::warning);
  EXPECT_EQ(finding->gpu, 0u);
  EXPECT_EQ(finding->what, "2 processes share it, 95 % busy, while nothing runs on GPU 1");
  EXPECT_NE(finding->why, "");
  EXPECT_EQ(finding->repair,
            "sheaf serve MODEL --slices gpu:0,gpu:1 gives it both; else start some of the "
            "programs with CUDA_VISIBLE_DEVICES=GPU-idle");
  idle().compute_capability_minor = 5;  // not for sheaf
  EXPECT_EQ(said()->repair, "start some of the programs with CUDA_VISIBLE_DEVICES=GPU-idle");
}

TEST_F(CrowdedCard, IsNoneWithOneProcessOrLittleLoad) {
  busy().utilization_percent = 89;
  EXPECT_FALSE(said());
  busy().utilization_percent = 100;
  busy().processes.pop_back();
  EXPECT_FALSE(said());
  busy().processes.push_back({19, "screen", 0, Nvml::ProcessKind::graphics});
  EXPECT_FALSE(said());
}

TEST_F(CrowdedCard, NeedsAnotherThatCouldBeUsed) {
  const Gpu good = idle();
  const std::function<void(Gpu&)> spoilt[] = {[](Gpu& gpu) { gpu.visible = false; },
                                              [](Gpu& gpu) {
                                                gpu.processes = {{20, "c"}};
                                              },
                                              [](Gpu& gpu) { gpu.utilization_percent = 5; },
                                              [](Gpu& gpu) { gpu.recovery_action = 1; },
                                              [](Gpu& gpu) { gpu.compute_mode = 2; },
                                              [](Gpu& gpu) { gpu.compute_capability_major = 6; },
                                              [](Gpu& gpu) { gpu.notes = {"it does not answer"}; },
                                              [](Gpu& gpu) {
                                                gpu.mig = Nvml::MigMode{true, true};
                                              }};
  for (const auto& spoil : spoilt) {
    idle() = good;
    spoil(idle());
    EXPECT_FALSE(said());
  }
  idle().instances = {{.id = 1, .compute = {{}}}};  // cut: the last case, made good
  EXPECT_TRUE(said());
}

TEST(Doctor, NamesTheCardsThatSheafHasCodeFor) {
  Gpu gpu = healthy();
  gpu.compute_capability_minor = 5;
  EXPECT_EQ(complaint(with(gpu), good_host()).why,
            "its builds for cards are for 9.0 (H100, H200, GH200), or 8.0 to 12.1 (A100, A30, A10, "
            "RTX 30, 40 and 50, L4, L40, H100, H200, B200)");
  gpu.compute_capability_major = 8;
  gpu.compute_capability_minor = 9;
  const auto of_ada = examine(with(gpu), good_host(), "");
  EXPECT_EQ(
      std::ranges::count(of_ada, "compute capability 8.9: `make release-cuda` builds code for it",
                         &Finding::what),
      1);
  HostFacts host = good_host();
  host.card_program = HostFacts::CardProgram{
      .path = "/bin/sheaf-replica-cuda", .sums_by = "NCCL 2.32.3", .no_sums_because = "it is gone"};
  const auto findings = examine(with(healthy()), host, "");
  const auto said = [&](const char* what) {
    return std::ranges::count(findings, what, &Finding::what) == 1;
  };
  EXPECT_TRUE(said("driver 580.65.06, CUDA 13.0 runs what `make cuda` builds"));
  EXPECT_TRUE(said("compute capability 9.0: `make cuda` builds code for it"));
  EXPECT_TRUE(said("/bin/sheaf-replica-cuda can compute here"));
  EXPECT_TRUE(said("models can be divided over these cards, by NCCL 2.32.3"));
  EXPECT_TRUE(said("models are not divided over several cards: it is gone"));
}

TEST(Doctor, WithoutACardSheafRunsOnTheProcessor) {
  const auto findings = examine({}, good_host(), "NVML cannot be opened");
  EXPECT_EQ(worst_of(findings), Health::warning);
  EXPECT_EQ(findings.back().what, "NVML cannot be opened");
  EXPECT_EQ(findings.back().why, "sheaf runs on the processor alone");
}

TEST(Versions, AreComparedByNumber) {
  EXPECT_EQ(compare_versions("450.80.02", "450.119.03"), -1);
  EXPECT_EQ(compare_versions("525.85.12", "525.85.12"), 0);
  EXPECT_EQ(compare_versions("570", "525.85.12"), 1);
}

}  // namespace
}  // namespace sheaf::slices
