#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "slices/nvml.h"
#include "slices/nvml_simulation/state.h"

// For tests: a simulated machine in a folder of its own, which this process's NVML reads.
namespace sheaf::slices::simulation {

class SimulatedMachine {
 public:
  explicit SimulatedMachine(const std::vector<std::string>& cards)
      : folder_(make_folder()), state_(make_state(state_path(), cards)) {
    setenv("SHEAF_NVML_SIM_STATE", state_path().c_str(), 1);
    setenv("SHEAF_NVML", library_path().c_str(), 1);
  }
  ~SimulatedMachine() {
    unsetenv("SHEAF_NVML_SIM_STATE");
    unsetenv("SHEAF_NVML");
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  SimulatedMachine(const SimulatedMachine&) = delete;
  SimulatedMachine& operator=(const SimulatedMachine&) = delete;

  static std::string library_path() { return std::string(SHEAF_BIN_DIR) + "/libsheaf-nvml-sim.so"; }
  const std::string& folder() const { return folder_; }
  std::string state_path() const { return folder_ + "/cards"; }
  StateFile& file() { return state_; }
  Nvml open() {
    auto nvml = Nvml::open();
    EXPECT_TRUE(nvml.ok()) << (nvml.ok() ? "" : nvml.error().message);
    return std::move(*nvml);
  }

  void enable_mig() {
    auto state = state_.lock();
    for (std::uint32_t i = 0; i < state->card_count; ++i)
      state->cards[i].mig_current = state->cards[i].mig_pending = 1;
  }
  void add_fault(const std::string& function, abi::Return code, std::uint32_t skip = 0,
                 std::uint32_t times = 1) {
    SimFault fault{.code = code, .skip = skip, .times = times};
    function.copy(fault.function, sizeof fault.function - 1);
    state_.add_fault(fault);
  }
  void add_process(int card, const SimProcess& process) {
    auto state = state_.lock();
    for (SimProcess& place : state->cards[card].processes) {
      if (place.used) continue;
      place = process;
      place.used = true;
      return;
    }
  }

  void hang(const std::string& function, std::uint32_t card, std::uint32_t milliseconds) {
    SimFault fault{
        .kind = SimFaultKind::hang, .card = card, .milliseconds = milliseconds, .times = 1};
    function.copy(fault.function, sizeof fault.function - 1);
    state_.add_fault(fault);
  }
  void raise_xid(std::uint32_t card, std::uint64_t number,
                 std::uint32_t gpu_instance = abi::kNoInstance) {
    state_.add_event(
        {.card = card, .type = abi::kEventXid, .data = number, .gpu_instance = gpu_instance});
  }
  // A copy of the library whose tables of symbols lack one name.
  std::string library_without(const std::string& symbol) const {
    std::ifstream in(library_path(), std::ios::binary);
    std::string bytes{std::istreambuf_iterator<char>(in), {}};
    const std::string name = '\0' + symbol + '\0';
    for (std::size_t at = 0; (at = bytes.find(name, at)) != std::string::npos; ++at)
      bytes[at + 1] = '_';
    std::string path = folder() + "/without-" + symbol;
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }

 private:
  static std::string make_folder() {
    // In memory, where there is some: the journal is synced at each step.
    const bool shm = access("/dev/shm", W_OK) == 0;
    std::string name = (shm ? "/dev/shm" : std::filesystem::temp_directory_path().string()) +
                       "/sheaf-slices-XXXXXX";
    return mkdtemp(name.data());
  }
  static StateFile make_state(const std::string& path, const std::vector<std::string>& cards) {
    auto state = StateFile::create(path, cards);
    EXPECT_TRUE(state.ok());
    return std::move(*state);
  }
  std::string folder_;
  StateFile state_;
};

}  // namespace sheaf::slices::simulation
