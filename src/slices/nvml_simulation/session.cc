#include "slices/nvml_simulation/session.h"

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <mutex>

namespace sheaf::slices::simulation {
namespace {

// Of this process: NVML has one session, counted by its inits.
struct Global {
  std::mutex mutex;
  std::unique_ptr<StateFile> file;
  int inits = 0;
};
Global& global() {
  static Global one;
  return one;
}

void sleep_ms(std::uint32_t milliseconds) {
  timespec left{milliseconds / 1000, static_cast<long>(milliseconds % 1000) * 1'000'000};
  while (nanosleep(&left, &left) != 0) {
  }
}

}  // namespace

abi::Return Session::init() {
  Global& g = global();
  const std::lock_guard guard(g.mutex);
  if (g.inits == 0) {
    const char* path = std::getenv("SHEAF_NVML_SIM_STATE");
    if (path == nullptr) return abi::kDriverNotLoaded;
    auto opened = StateFile::open(path);
    if (!opened.ok()) return abi::kDriverNotLoaded;
    g.file = std::make_unique<StateFile>(std::move(*opened));
  }
  ++g.inits;
  return abi::kSuccess;
}

abi::Return Session::shutdown() {
  Global& g = global();
  const std::lock_guard guard(g.mutex);
  if (g.inits == 0) return abi::kUninitialized;
  if (--g.inits == 0) g.file.reset();
  return abi::kSuccess;
}

// The first one that is due for this call.
SimFault Session::take_fault(SimState& state, const Asked& asked) {
  for (SimFault& fault : state.faults) {
    if (!fault.used || (fault.function[0] != 0 && asked.function != fault.function)) continue;
    if (fault.card != kAnyCard && fault.card != asked.card) continue;
    if (fault.skip > 0) {
      --fault.skip;
      continue;
    }
    const SimFault due = fault;
    if (--fault.times == 0) fault = {};
    return due;
  }
  return {};
}

StateFile& Session::file() { return *global().file; }

abi::Return Session::before(const Asked& asked, Fault& fault) {
  {
    Global& g = global();
    const std::lock_guard guard(g.mutex);
    if (g.inits == 0) return abi::kUninitialized;
  }
  return answer_of(asked, fault);
}

abi::Return Session::answer_of(const Asked& asked, Fault& fault) {
  SimFault due;
  {
    StateFile::Locked state = file().lock();
    ++state->calls;
    due = take_fault(*state, asked);
  }
  if (!due.used) return abi::kSuccess;
  switch (due.kind) {
    case SimFaultKind::answer:
      return due.code;
    case SimFaultKind::hang:
      sleep_ms(due.milliseconds);
      return abi::kSuccess;
    case SimFaultKind::kill_before:
      raise(SIGKILL);
      return abi::kSuccess;
    case SimFaultKind::kill_after:
      fault.kill_after = true;
      return abi::kSuccess;
  }
  return abi::kSuccess;
}

abi::Return Session::fault_of_init(std::string_view function) {
  Fault fault;
  const abi::Return code = answer_of({function}, fault);
  after(fault);
  return code;
}

void Session::after(const Fault& fault) {
  if (fault.kill_after) raise(SIGKILL);
}

abi::Return put_text(char* to, unsigned bytes, std::string_view text) {
  if (to == nullptr) return abi::kInvalidArgument;
  if (text.size() + 1 > bytes) return abi::kInsufficientSize;
  std::memcpy(to, text.data(), text.size());
  to[text.size()] = 0;
  return abi::kSuccess;
}

}  // namespace sheaf::slices::simulation
