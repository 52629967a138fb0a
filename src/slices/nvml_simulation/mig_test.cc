#include <gtest/gtest.h>
#include <sys/wait.h>

#include <map>
#include <random>
#include <set>

#include "slices/mig_cut.h"
#include "slices/mig_request.h"
#include "slices/nvml_simulation/fixture.h"

namespace sheaf::slices {
namespace {

using simulation::SimulatedMachine;
using Verb = MigRequest::Verb;

class Mig {
 public:
  explicit Mig(const std::vector<std::string>& cards) : machine(cards) {}

  SimulatedMachine machine;

  Result<ChangeReport> ask(const MigRequest& request) {
    SHEAF_ASSIGN(const Nvml nvml, Nvml::open());
    SHEAF_ASSIGN(MigJournal journal, MigJournal::open(machine.folder() + "/j", 0, "test"));
    return carry_out(nvml, journal, request);
  }
  Result<ChangeReport> create(const std::vector<std::string>& words, bool repartition = false) {
    return ask({.verb = Verb::create, .gpus = {"0"}, .words = words, .repartition = repartition});
  }
  Result<ChangeReport> destroy(const std::vector<std::string>& words) {
    return ask({.verb = Verb::destroy, .gpus = {"0"}, .words = words});
  }
  // What is placed on a card, in words.
  std::string cut(unsigned gpu = 0) {
    const Nvml nvml = machine.open();
    const auto read = read_gpu(nvml, gpu);
    if (!read.ok()) return read.error().message;
    const auto state = state_of(*read);
    if (!state.ok()) return state.error().message;
    std::string text = state->mig ? "on" : "off";
    for (const std::string& word : words_of(*read->model, *state)) text += " " + word;
    return text;
  }
};

std::string message_of(const Result<ChangeReport>& result) {
  return result.ok() ? "ok" : result.error().message;
}

TEST(Mig, CreatesGpuAndComputeInstancesTogether) {
  Mig mig({"a100-40"});
  EXPECT_NE(message_of(mig.create({"1g.5gb"})).find("MIG is off"), std::string::npos);
  ASSERT_EQ(message_of(mig.ask({.verb = Verb::enable})), "ok");
  ASSERT_EQ(message_of(mig.create({"3g.20gb", "1g.5gb+me", "19"})), "ok");
  EXPECT_EQ(mig.cut(), "on 1g.5gb@2 1g.5gb+me@3 3g.20gb@4");
  ASSERT_EQ(message_of(mig.destroy({"3g.20gb@4"})), "ok");
  ASSERT_EQ(message_of(mig.create({"1c.3g.20gb", "2c.3g.20gb"})), "ok");
  EXPECT_EQ(mig.cut(), "on 1g.5gb@2 1g.5gb+me@3 2c.3g.20gb@4 1c.3g.20gb@4");
}

TEST(Mig, SevenEqual) {
  for (const char* card : {"a100-40", "h100-80", "h200-141", "b200-180"}) {
    Mig mig({card});
    mig.machine.enable_mig();
    ASSERT_EQ(message_of(mig.create({"7", "equal"})), "ok");
    const std::string first(find_card(card)->profiles[0].name);
    std::string all = "on";
    for (int start = 0; start < 7; ++start) all += " " + first + "@" + std::to_string(start);
    EXPECT_EQ(mig.cut(), all);
    ASSERT_EQ(message_of(mig.destroy({"all"})), "ok");
    ASSERT_EQ(message_of(mig.create({"2", "equal"})), "ok");
    EXPECT_EQ(mig.cut(), "on " + std::string(find_card(card)->profiles[4].name) + "@0 " +
                             std::string(find_card(card)->profiles[4].name) + "@4");
  }
}

TEST(Mig, BadWordsAreNamed) {
  Mig mig({"a100-40", "l4"});
  mig.machine.enable_mig();
  EXPECT_NE(message_of(mig.create({"7*1g.6gb"})).find("has no MIG profile 1g.6gb; it has 1g.5gb"),
            std::string::npos);
  EXPECT_EQ(message_of(mig.create({"0*1g.5gb"})), "'0*1g.5gb' repeats by no number from 1 to 64");
  EXPECT_EQ(message_of(mig.create({"1g.5gb@x"})),
            "'1g.5gb@x' has no number of a memory slice behind its @");
  EXPECT_EQ(message_of(mig.create({"4c.3g.20gb"})),
            "'4c.3g.20gb' is no way to split 3g.20gb; there are 1c.3g.20gb, 2c.3g.20gb, 3g.20gb");
  EXPECT_NE(message_of(mig.create({"9", "equal"})).find("cannot be cut into 9 equal parts"),
            std::string::npos);
  EXPECT_NE(message_of(mig.create({"2g.10gb@1"})).find("may start at 0, 2, 4 only"),
            std::string::npos);
  EXPECT_EQ(message_of(mig.destroy({"MIG-none"})),
            "GPU 0 has no instance MIG-none: `sheaf slices mig list` shows them");
  EXPECT_EQ(message_of(mig.ask({.verb = Verb::enable, .gpus = {"7"}})),
            "there is no GPU 7; `sheaf slices` shows the 2 there are");
  EXPECT_EQ(message_of(mig.ask({.verb = Verb::enable, .gpus = {"1"}})),
            "GPU 1 (NVIDIA L4) cannot be cut by MIG");
  EXPECT_EQ(mig.cut(), "on");
}

TEST(Mig, FragmentationNamesWhoMustMove) {
  Mig mig({"a100-40"});
  mig.machine.enable_mig();
  ASSERT_EQ(message_of(mig.create({"1g.5gb@0", "1g.5gb@4"})), "ok");
  const std::string refused = message_of(mig.create({"4g.20gb"}));
  EXPECT_EQ(
      refused,
      "GPU 0: there is no place for 4g.20gb; it would fit if 1g.5gb moved from memory slice 0 "
      "to 5, which --repartition does (an idle instance is destroyed and created again)\n"
      "slice  0        1        2        3        4        5        6        7\n"
      "      [1g.5gb ] free     free     free    [1g.5gb ] free     free     free\n");
  ASSERT_EQ(message_of(mig.create({"4g.20gb"}, true)), "ok");
  EXPECT_EQ(mig.cut(), "on 4g.20gb@0 1g.5gb@4 1g.5gb@5");
  EXPECT_NE(message_of(mig.create({"3g.20gb"}, true)).find("not even by moving idle instances"),
            std::string::npos);
}

TEST(Mig, BusyInstancesAreNotTouched) {
  Mig mig({"h100-80"});
  mig.machine.enable_mig();
  ASSERT_EQ(message_of(mig.create({"1g.10gb@0", "1g.10gb@4"})), "ok");
  const auto pid = static_cast<std::uint32_t>(getpid());
  // GPU instance 7 stands at memory slice 0.
  mig.machine.add_process(
      0, {.pid = pid, .gpu_instance = 7, .compute_instance = 0, .bytes = 2ull << 30});
  const std::string refused = message_of(mig.destroy({"all"}));
  EXPECT_EQ(refused.find("GPU 0 is in use: 1g.10gb@0 by process " + std::to_string(pid)), 0u)
      << refused;
  EXPECT_NE(refused.find("(2.0 GiB); stop what runs there first"), std::string::npos);
  EXPECT_NE(message_of(mig.create({"4g.40gb"}, true)).find("not even by moving idle"),
            std::string::npos);
  EXPECT_EQ(mig.cut(), "on 1g.10gb@0 1g.10gb@4");
  EXPECT_EQ(message_of(mig.destroy({"1g.10gb@4"})), "ok");  // its neighbour does not matter
}

TEST(Mig, AnOwedResetIsSaid) {
  Mig mig({"a100-40", "h200-141"});
  mig.machine.file().lock()->cards[0].reset_blocked = true;
  const auto enabled = mig.ask({.verb = Verb::enable, .gpus = {"all"}});
  ASSERT_TRUE(enabled.ok()) << enabled.error().message;
  ASSERT_EQ(enabled->owed.size(), 1u);
  EXPECT_NE(enabled->owed[0].find("GPU 0: MIG will be on after a reset (GPU requires reset now)"),
            std::string::npos);
  EXPECT_EQ(mig.cut(0), "off");
  EXPECT_EQ(mig.cut(1), "on");
  // With instances to follow, it is a failure, and the wish of a mode is taken back.
  mig.machine.file().lock()->cards[0].mig_pending = 0;
  const auto applied = mig.ask({.wishes = {{.gpus = {"0"}, .mig = true, .instances = {"1g.5gb"}}}});
  ASSERT_FALSE(applied.ok());
  EXPECT_NE(applied.error().message.find("the cards are as they were"), std::string::npos);
  EXPECT_EQ(mig.machine.file().lock()->cards[0].mig_pending, 0u);
}

TEST(Mig, ApplyMakesItSoAndKeepsWhatIsThere) {
  Mig mig({"a100-40", "a100-40", "l4"});
  const MigRequest request{
      .wishes = {{.mig = true, .instances = {"2*1g.5gb", "2g.10gb", "3g.20gb"}}}};
  ASSERT_EQ(message_of(mig.ask(request)), "ok");
  const std::string cut = mig.cut(0);
  EXPECT_EQ(cut, mig.cut(1));
  const auto again = mig.ask(request);
  ASSERT_TRUE(again.ok());
  EXPECT_TRUE(again->steps.empty());
  ASSERT_EQ(message_of(mig.ask({.verb = Verb::destroy, .gpus = {"1"}, .words = {"2g.10gb@0"}})),
            "ok");
  const auto repaired = mig.ask(request);
  ASSERT_TRUE(repaired.ok());
  EXPECT_EQ(repaired->steps.size(), 2u);  // a GPU instance and its compute instance
  EXPECT_EQ(mig.cut(1), cut);
  ASSERT_EQ(message_of(mig.ask({.wishes = {{.mig = false}}})), "ok");
  EXPECT_EQ(mig.cut(0), "off");
  const auto twice = mig.ask({.wishes = {{.gpus = {"0"}, .mig = true}, {.mig = true}}});
  EXPECT_EQ(message_of(twice), "two entries speak of GPU 0");
}

TEST(Mig, DifferencesAreSentences) {
  Mig mig({"a100-40"});
  mig.machine.enable_mig();
  ASSERT_EQ(message_of(mig.create({"2g.10gb@0", "1g.5gb@2"})), "ok");
  const Nvml nvml = mig.machine.open();
  const Gpu gpu = *read_gpu(nvml, 0);
  const auto differ = [&](bool on, const std::vector<std::string>& words) {
    std::string text;
    const auto found = differences(gpu, on, words);
    for (const std::string& one : *found) text += one + "; ";
    return text;
  };
  EXPECT_EQ(differ(true, {"1g.5gb", "2g.10gb"}), "");
  EXPECT_EQ(differ(false, {}), "GPU 0: MIG is on, not off; ");
  EXPECT_EQ(differ(true, {"2*1g.5gb"}), "GPU 0: 1 too few 1g.5gb; GPU 0: 1 too many 2g.10gb; ");
  EXPECT_EQ(differ(true, {"1g.5gb@3", "2g.10gb"}), "GPU 0: no 1g.5gb at memory slice 3; ");
  EXPECT_EQ(differ(true, {"1g.5gb", "1c.2g.10gb", "1c.2g.10gb"}),
            "GPU 0: 1 too many 2g.10gb; GPU 0: 1 too few 2g.10gb split into 1c 1c; ");
}

TEST(Mig, ARequestSurvivesItsText) {
  const MigRequest request{
      .verb = Verb::create,
      .gpus = {"0", "GPU-1"},
      .words = {"7", "equal"},
      .wishes = {{.gpus = {"1"}, .pci_ids = {5}, .mig = true, .instances = {"1g.5gb"}}},
      .repartition = true};
  const auto back = parse_request(to_text(request));
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(to_text(*back), to_text(request));
  EXPECT_EQ(describe(*back), "create 7 equal on GPU 0 GPU-1");
  EXPECT_FALSE(parse_request("{}").ok());
  EXPECT_FALSE(parse_request("[1").ok());
}

// Every row of the tables: created, placed at each start, filled up to the most, destroyed.
TEST(MigTables, EveryRowIsFilledAndEmptied) {
  for (const CardModel& card : card_models()) {
    if (!card.has_mig()) continue;
    Mig mig({std::string(card.key)});
    mig.machine.enable_mig();
    for (const MigProfile& profile : card.profiles) {
      const std::string name(profile.name);
      for (const int start : profile.starts) {
        const std::string word = name + "@" + std::to_string(start);
        ASSERT_EQ(message_of(mig.create({word})), "ok");
        ASSERT_EQ(mig.cut(), "on " + word);
        ASSERT_EQ(message_of(mig.destroy({word})), "ok");
      }
      ASSERT_EQ(message_of(mig.create({std::to_string(profile.count_max) + "*" + name})), "ok");
      EXPECT_NE(message_of(mig.create({name})).find("there is no place for"), std::string::npos);
      ASSERT_EQ(message_of(mig.destroy({"all"})), "ok");
    }
    EXPECT_EQ(mig.cut(), "on");
  }
}

// An independent model of NVML's answers, from the guide's rules: what stands where, tried by hand.
class BruteCard {
 public:
  struct Rule {
    int size, count_max;
    std::set<unsigned> starts;
  };
  static std::map<unsigned, Rule> rules(bool a30) {
    if (a30)
      return {{14, {1, 4, {0, 1, 2, 3}}},
              {21, {1, 1, {0, 1, 2, 3}}},
              {5, {2, 2, {0, 2}}},
              {6, {2, 1, {0, 2}}},
              {0, {4, 1, {0}}}};
    return {{19, {1, 7, {0, 1, 2, 3, 4, 5, 6}}},
            {20, {1, 1, {0, 1, 2, 3, 4, 5, 6}}},
            {15, {2, 4, {0, 2, 4, 6}}},
            {14, {2, 3, {0, 2, 4}}},
            {9, {4, 2, {0, 4}}},
            {5, {4, 1, {0}}},
            {0, {8, 1, {0}}}};
  }
  explicit BruteCard(bool a30) : rules_(rules(a30)) {}

  abi::Return create(unsigned id, unsigned start) {
    const auto rule = rules_.find(id);
    if (rule == rules_.end() || !rule->second.starts.contains(start)) return abi::kInvalidArgument;
    int count = 0;
    for (const auto& [at, other] : placed_) {
      count += other == id;
      for (unsigned slice = start; slice < start + rule->second.size; ++slice)
        if (slice >= at && slice < at + rules_[other].size) return abi::kInsufficientResources;
    }
    if (count >= rule->second.count_max) return abi::kInsufficientResources;
    placed_[start] = id;
    return abi::kSuccess;
  }
  bool destroy(unsigned start) { return placed_.erase(start) > 0; }
  const std::map<unsigned, unsigned>& placed() const { return placed_; }
  unsigned size(unsigned id) const { return static_cast<unsigned>(rules_.at(id).size); }

 private:
  std::map<unsigned, Rule> rules_;
  std::map<unsigned, unsigned> placed_;  // profile id by start
};

// 10,000 sequences of creating and destroying, straight on NVML's functions.
TEST(MigTables, RandomSequencesAgreeWithBruteForce) {
  std::mt19937 random(11);
  for (const char* key : {"a30", "a100-80", "h200-141", "b200-180"}) {
    SimulatedMachine machine({key});
    machine.enable_mig();
    const Nvml nvml = machine.open();
    const abi::Device device = *nvml.device(0);
    const bool a30 = std::string(key) == "a30";
    std::vector<unsigned> ids = {99};
    for (const auto& [id, rule] : BruteCard::rules(a30)) ids.push_back(id);
    std::map<unsigned, abi::GpuInstance> handles;
    for (int sequence = 0; sequence < 2500; ++sequence) {
      BruteCard judge(a30);
      for (int step = 0; step < 10; ++step) {
        const unsigned start = static_cast<unsigned>(random() % 8);
        if (random() % 4 == 0) {
          const bool there = handles.contains(start);
          ASSERT_EQ(judge.destroy(start), there);
          if (there) {
            ASSERT_TRUE(nvml.destroy_gpu_instance(handles[start]).ok());
          }
          handles.erase(start);
          continue;
        }
        const unsigned id = ids[random() % ids.size()];
        const unsigned size = id == 99 ? 1 : judge.size(id);
        const auto made = nvml.create_gpu_instance(device, id, {start, size});
        const abi::Return expected = judge.create(id, start);
        ASSERT_EQ(made.ok(), expected == abi::kSuccess) << id << "@" << start;
        if (made.ok())
          handles[start] = made->handle;
        else
          ASSERT_EQ(made.error().code, expected == abi::kInvalidArgument
                                           ? ErrorCode::invalid_argument
                                           : ErrorCode::unavailable);
      }
      ASSERT_EQ(handles.size(), judge.placed().size());
      for (const auto& [start, handle] : handles)
        ASSERT_TRUE(nvml.destroy_gpu_instance(handle).ok());
      handles.clear();
    }
  }
}

constexpr std::uint32_t kCallsMax = 2000;  // a change takes some 300

// A change of both cards that destroys, moves and creates, from a given cut.
const MigRequest kBigChange{
    .wishes = {{.gpus = {"0"}, .mig = true, .instances = {"4g.20gb@0", "1c.3g.20gb", "2c.3g.20gb"}},
               {.gpus = {"1"}, .mig = true, .instances = {"1g.10gb", "1g.10gb+me"}}}};
void prepare(Mig& mig) {
  ASSERT_EQ(message_of(mig.ask({.verb = Verb::enable, .gpus = {"0"}})), "ok");
  ASSERT_EQ(message_of(mig.create({"3g.20gb@0", "1c.2g.10gb@4", "1c.2g.10gb@4", "1g.5gb@6"})),
            "ok");
}

// Whatever call fails, the cards are as before, or as asked where the call did not matter.
TEST(MigFaults, EachCallFailingInTurnLeavesTheCardsAsTheyWere) {
  Mig mig({"a100-40", "h100-80"});
  prepare(mig);
  const std::string before = mig.cut(0) + " | " + mig.cut(1);
  int failures = 0;
  std::string after;
  for (std::uint32_t skip = 0; skip < kCallsMax; ++skip) {
    for (const abi::Return code : {abi::kUnknown, abi::kInUse}) {
      mig.machine.add_fault("", code, skip);
      const auto result = mig.ask(kBigChange);
      bool came = true;
      for (const simulation::SimFault& fault : mig.machine.file().lock()->faults)
        came = came && !fault.used;
      mig.machine.file().clear_faults();
      const std::string now = mig.cut(0) + " | " + mig.cut(1);
      if (!result.ok()) {
        ++failures;
        ASSERT_EQ(now, before) << skip << ": " << result.error().message;
        continue;
      }
      after = now;
      if (!came) {
        EXPECT_GT(failures, 100);
        EXPECT_EQ(after, "on 4g.20gb@0 2c.3g.20gb@4 1c.3g.20gb@4 | on 1g.10gb+me@5 1g.10gb@6");
        return;
      }
      ASSERT_EQ(message_of(mig.ask({.verb = Verb::destroy, .gpus = {"all"}, .words = {"all"}})),
                "ok");
      ASSERT_EQ(message_of(mig.ask({.verb = Verb::disable, .gpus = {"1"}})), "ok");
      ASSERT_EQ(message_of(mig.create({"3g.20gb@0", "1c.2g.10gb@4", "1c.2g.10gb@4", "1g.5gb@6"})),
                "ok");
      ASSERT_EQ(mig.cut(0) + " | " + mig.cut(1), before);
    }
  }
  FAIL() << "a change never came to its end";
}

TEST(MigFaults, BothFailuresAreReported) {
  Mig mig({"a100-40"});
  mig.machine.enable_mig();
  // The second instance fails, and taking the first away again fails too.
  mig.machine.add_fault("nvmlDeviceCreateGpuInstanceWithPlacement", abi::kInsufficientResources, 1);
  mig.machine.add_fault("nvmlComputeInstanceDestroy", abi::kInUse);
  const std::string text = message_of(mig.create({"1g.5gb@0", "1g.5gb@1"}));
  EXPECT_NE(text.find("step 3 of 4, GPU 0: create 1g.5gb at memory slice 1: "
                      "nvmlDeviceCreateGpuInstanceWithPlacement: Insufficient Resources"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("putting the cards back failed too: step 1 of 2"), std::string::npos) << text;
  EXPECT_EQ(mig.cut(), "on 1g.5gb@0");
  // The next change puts back first.
  const auto next = mig.create({"2g.10gb@4"});
  ASSERT_TRUE(next.ok()) << next.error().message;
  EXPECT_NE(next->steps[0].find("a change that was cut off was undone"), std::string::npos);
  EXPECT_EQ(mig.cut(), "on 2g.10gb@4");
}

// A process that changes the cards and dies of SIGKILL at one of its calls; how it ended.
int killed_at(Mig& mig, const std::string& function, std::uint32_t skip,
              simulation::SimFaultKind kind) {
  simulation::SimFault fault{.kind = kind, .skip = skip};
  function.copy(fault.function, sizeof fault.function - 1);
  mig.machine.file().add_fault(fault);
  const pid_t child = fork();
  if (child == 0) _exit(mig.ask(kBigChange).ok() ? 0 : 1);
  int status = 0;
  waitpid(child, &status, 0);
  mig.machine.file().clear_faults();
  return status;
}

void undo_and_expect(Mig& mig, const std::string& before) {
  const Nvml nvml = mig.machine.open();
  auto journal = MigJournal::open(mig.machine.folder() + "/j", 0, "test");
  ASSERT_TRUE(journal.ok()) << journal.error().message;
  const auto undone = undo_unfinished(nvml, *journal);
  ASSERT_TRUE(undone.ok()) << undone.error().message;
  EXPECT_TRUE(undone->has_value());
  ASSERT_EQ(mig.cut(0) + " | " + mig.cut(1), before);
}

// Each step of the journal is one call that changes a card: dying before and after each of them is
// dying at every state that the journal can be in.
TEST(MigFaults, KilledAtEachStepTheNextOneUndoes) {
  int deaths = 0;
  for (const char* function :
       {"nvmlDeviceSetMigMode", "nvmlDeviceCreateGpuInstanceWithPlacement",
        "nvmlGpuInstanceDestroy", "nvmlGpuInstanceCreateComputeInstanceWithPlacement",
        "nvmlComputeInstanceDestroy"}) {
    Mig mig({"a100-40", "h100-80"});
    prepare(mig);
    const std::string before = mig.cut(0) + " | " + mig.cut(1);
    bool whole = false;
    for (std::uint32_t skip = 0; skip < kCallsMax && !whole; ++skip) {
      for (const auto kind :
           {simulation::SimFaultKind::kill_before, simulation::SimFaultKind::kill_after}) {
        const int status = killed_at(mig, function, skip, kind);
        whole = WIFEXITED(status);  // there was no such call
        if (whole) break;
        ++deaths;
        undo_and_expect(mig, before);
      }
    }
    EXPECT_TRUE(whole) << function;
    EXPECT_EQ(mig.cut(1), "on 1g.10gb+me@5 1g.10gb@6") << function;
  }
  // 3 instances and their 4 parts go, a mode is switched, 4 instances and 5 parts come.
  EXPECT_EQ(deaths, 2 * (3 + 4 + 1 + 4 + 5));
}

TEST(MigJournal, TheSecondIsRefusedByName) {
  Mig mig({"a100-40"});
  const std::string folder = mig.machine.folder() + "/j";
  {
    const auto first = MigJournal::open(folder, 0, "sheaf slices apply");
    ASSERT_TRUE(first.ok());
    const auto second = MigJournal::open(folder, 30, "sheaf slices mig create");
    ASSERT_FALSE(second.ok());
    EXPECT_EQ(second.error().message,
              "the machine's partitions are being changed by sheaf slices apply (process " +
                  std::to_string(getpid()) + "); try again, or wait longer (--wait)");
  }
  EXPECT_TRUE(MigJournal::open(folder, 0, "test").ok());
}

TEST(MigJournal, ABrokenOneIsNotGuessedAt) {
  Mig mig({"a100-40"});
  mig.machine.enable_mig();
  ASSERT_EQ(message_of(mig.create({"1g.5gb"})), "ok");
  {
    std::FILE* file = std::fopen((mig.machine.folder() + "/j/journal").c_str(), "w");
    std::fputs("{\"what\": \"x\"", file);
    std::fclose(file);
  }
  const auto refused = mig.create({"1g.5gb"});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::corrupt);
  EXPECT_EQ(mig.cut(), "on 1g.5gb@6");
}

}  // namespace
}  // namespace sheaf::slices
