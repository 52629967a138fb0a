#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/result.h"

namespace sheaf::slices {

// Where one MPS daemon keeps what is its own: a folder for each card or MIG slice.
struct MpsFolders {
  MpsFolders(const std::string& slices_folder, const std::string& uuid);
  std::string base, pipe, log, state;
};

// NVIDIA's nvidia-cuda-mps-control: the daemon itself, and the program through which it is asked.
// Never started by its full rights on hardware: docs/slices.md.
class MpsControl {
 public:
  // $SHEAF_MPS_CONTROL, or where PATH has it. Error not_found: names the package that brings it.
  static Result<MpsControl> find();

  // Begins a daemon that sees this device alone. It outlives this process; what it prints goes to
  // `log`/daemon.log.
  Result<pid_t> start(const MpsFolders& folders, const std::string& uuid) const;

  // What the daemon answers to a command, without the last newline. Errors: deadline_exceeded, it
  // does not within `timeout_ms`; io, it refuses, with its words.
  Result<std::string> ask(const MpsFolders& folders, const std::string& command,
                          int timeout_ms) const;

 private:
  explicit MpsControl(std::string program) : program_(std::move(program)) {}
  std::string program_;
};

}  // namespace sheaf::slices
