// nvml_sim FILE VERB…: makes and drives the state of a simulated NVML for the Python tests.
//   create CARD…                        a machine with these cards
//   process GPU PID BYTES [GI CI]       a process that computes
//   end PID                             it computes no more, on any card
//   set GPU NAME VALUE                  temperature_c, mig_current, lost, …
//   load GPU[/GI] PERCENT [SM [MEMORY]] of the card, or of a GPU instance
//   machine NAME VALUE                  unprivileged, struct_version, driver_version, …
//   fault FUNCTION CODE [SKIP [TIMES]]  "any" for every function
//   hang FUNCTION MILLISECONDS [GPU]
//   kill FUNCTION before|after [SKIP]
//   xid GPU NUMBER [TIMES [GI CI]]
//   clear                               all faults
//   calls                               prints how many there were
#include <fmt/core.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "slices/nvml_abi.h"
#include "slices/nvml_simulation/state.h"

namespace {

namespace sim = sheaf::slices::simulation;
using Words = std::vector<std::string>;

std::uint64_t number(const std::string& text) { return std::strtoull(text.c_str(), nullptr, 0); }

std::string word(const Words& words, std::size_t index, const char* otherwise) {
  return index < words.size() ? words[index] : otherwise;
}

int refuse(const std::string& why) {
  fmt::print(stderr, "nvml_sim: {}\n", why);
  return 2;
}

int add_fault(sim::StateFile& file, sim::SimFaultKind kind, const Words& words) {
  sim::SimFault fault{.kind = kind};
  if (words[0] != "any") std::strncpy(fault.function, words[0].c_str(), sizeof fault.function - 1);
  if (kind == sim::SimFaultKind::hang) {
    fault.milliseconds = static_cast<std::uint32_t>(number(words[1]));
    fault.card = static_cast<std::uint32_t>(number(word(words, 2, "0xFFFFFFFF")));
  } else {
    if (kind == sim::SimFaultKind::answer) fault.code = static_cast<int>(number(words[1]));
    fault.skip = static_cast<std::uint32_t>(number(word(words, 2, "0")));
    fault.times = static_cast<std::uint32_t>(number(word(words, 3, "1")));
  }
  file.add_fault(fault);
  return 0;
}

int set_card(sim::StateFile& file, const Words& words) {
  auto state = file.lock();
  sim::SimCard& card = state->cards[number(words[0])];
  const std::uint64_t value = number(words[2]);
  const std::map<std::string, std::uint32_t*> numbers = {
      {"mig_current", &card.mig_current},
      {"mig_pending", &card.mig_pending},
      {"persistence", &card.persistence},
      {"temperature_c", &card.temperature_c},
      {"power_mw", &card.power_mw},
      {"sm_clock_mhz", &card.sm_clock_mhz},
      {"memory_clock_mhz", &card.memory_clock_mhz},
      {"pcie_generation", &card.pcie_generation},
      {"pcie_width", &card.pcie_width},
      {"retired_pending", &card.retired_pending},
      {"remap_pending", &card.remap_pending},
      {"remap_failed", &card.remap_failed},
      {"recovery_action", &card.recovery_action}};
  if (const auto found = numbers.find(words[1]); found != numbers.end())
    *found->second = static_cast<std::uint32_t>(value);
  else if (words[1] == "lost")
    card.lost = value != 0;
  else if (words[1] == "reset_blocked")
    card.reset_blocked = value != 0;
  else if (words[1] == "ecc_uncorrected")
    card.ecc_uncorrected = value;
  else if (words[1] == "throttle_reasons")
    card.throttle_reasons = value;
  else
    return refuse("no such setting of a card: " + words[1]);
  return 0;
}

int set_machine(sim::StateFile& file, const Words& words) {
  auto state = file.lock();
  if (words[0] == "unprivileged")
    state->unprivileged = number(words[1]) != 0;
  else if (words[0] == "lists_profiles_when_off")
    state->lists_profiles_when_off = number(words[1]) != 0;
  else if (words[0] == "struct_version")
    state->struct_version = static_cast<std::uint32_t>(number(words[1]));
  else if (words[0] == "cuda_version")
    state->cuda_version = static_cast<int>(number(words[1]));
  else if (words[0] == "driver_version")
    std::strncpy(state->driver_version, words[1].c_str(), sizeof state->driver_version - 1);
  else
    return refuse("no such setting of a machine: " + words[0]);
  return 0;
}

int add_process(sim::StateFile& file, const Words& words) {
  auto state = file.lock();
  for (sim::SimProcess& place : state->cards[number(words[0])].processes) {
    if (place.used) continue;
    place = {.used = true,
             .pid = static_cast<std::uint32_t>(number(words[1])),
             .gpu_instance = static_cast<std::uint32_t>(number(word(words, 3, "0xFFFFFFFF"))),
             .compute_instance = static_cast<std::uint32_t>(number(word(words, 4, "0xFFFFFFFF"))),
             .bytes = number(words[2])};
    return 0;
  }
  return refuse("no room for another process");
}

void end_process(sim::StateFile& file, std::uint64_t pid) {
  auto state = file.lock();
  for (sim::SimCard& card : state->cards)
    for (sim::SimProcess& process : card.processes)
      if (process.used && process.pid == pid) process = {};
}

int set_load(sim::StateFile& file, const Words& words) {
  auto state = file.lock();
  const std::size_t slash = words[0].find('/');
  sim::SimCard& card = state->cards[number(words[0].substr(0, slash))];
  sim::SimLoad& load = slash == std::string::npos
                           ? card.load
                           : card.instances[number(words[0].substr(slash + 1))].load;
  load = {static_cast<std::uint32_t>(number(words[1])),
          static_cast<std::uint32_t>(number(word(words, 2, words[1].c_str()))),
          static_cast<std::uint32_t>(number(word(words, 3, "0")))};
  return 0;
}

int raise_xids(sim::StateFile& file, const Words& words) {
  for (std::uint64_t times = number(word(words, 2, "1")); times > 0; --times)
    file.add_event(
        {.card = static_cast<std::uint32_t>(number(words[0])),
         .type = sheaf::slices::abi::kEventXid,
         .data = number(words[1]),
         .gpu_instance = static_cast<std::uint32_t>(number(word(words, 3, "0xFFFFFFFF"))),
         .compute_instance = static_cast<std::uint32_t>(number(word(words, 4, "0xFFFFFFFF")))});
  return 0;
}

int drive(sim::StateFile& file, const std::string& verb, const Words& words) {
  const std::map<std::string, std::size_t> least = {
      {"process", 3}, {"set", 3},  {"machine", 2}, {"fault", 2}, {"hang", 2}, {"kill", 2},
      {"xid", 2},     {"load", 2}, {"clear", 0},   {"calls", 0}, {"end", 1}};
  const auto known = least.find(verb);
  if (known == least.end() || words.size() < known->second)
    return refuse("unknown verb or too few words: " + verb);
  if (verb == "process") return add_process(file, words);
  if (verb == "end") end_process(file, number(words[0]));
  if (verb == "set") return set_card(file, words);
  if (verb == "machine") return set_machine(file, words);
  if (verb == "fault") return add_fault(file, sim::SimFaultKind::answer, words);
  if (verb == "hang") return add_fault(file, sim::SimFaultKind::hang, words);
  if (verb == "kill")
    return add_fault(
        file, words[1] == "before" ? sim::SimFaultKind::kill_before : sim::SimFaultKind::kill_after,
        words);
  if (verb == "load") return set_load(file, words);
  if (verb == "xid") return raise_xids(file, words);
  if (verb == "clear") file.clear_faults();
  if (verb == "calls") fmt::print("{}\n", file.lock()->calls);
  return 0;
}

}  // namespace

int main(int argument_count, char** arguments) {
  if (argument_count < 3) return refuse("FILE and a verb are needed");
  const Words words(arguments + 3, arguments + argument_count);
  const std::string verb = arguments[2];
  if (verb == "create") {
    const auto made = sim::StateFile::create(arguments[1], words);
    return made.ok() ? 0 : refuse(made.error().message);
  }
  auto file = sim::StateFile::open(arguments[1]);
  return file.ok() ? drive(*file, verb, words) : refuse(file.error().message);
}
