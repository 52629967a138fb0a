#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/clock.h"
#include "base/fd.h"
#include "base/result.h"

namespace sheaf::cli {

// The one owner of a child process whose standard input and output are pipes. Killed and reaped
// when destroyed.
class ChildProcess {
 public:
  enum class Errors { ours, dropped };  // where its standard error goes
  // `environment`: "NAME=value", in place of ours of that name.
  static Result<ChildProcess> start(const std::vector<std::string>& command,
                                    Errors errors = Errors::ours,
                                    const std::vector<std::string>& environment = {});
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&&) = delete;
  ~ChildProcess();

  // Closes its standard input and waits until it has ended by itself, as a program does that has
  // nothing more to read. Killed if it has not within five seconds.
  void end();

  // Waits until it has written something or ended. Error deadline_exceeded where that comes later
  // than `until_us`, and then it is abandoned.
  Status await_output(TimeUs until_us);

  // Kills it without waiting for its end: one that hangs in a driver does not die of that.
  void abandon();

  int input() const { return input_.get(); }    // its standard input, for us to write
  int output() const { return output_.get(); }  // its standard output, for us to read

 private:
  ChildProcess(pid_t pid, Fd input, Fd output);
  pid_t pid_;
  Fd input_, output_;
};

// All that a command writes to its standard output until it closes it; what it complains of is
// dropped, and so is its exit code. Error of kind deadline_exceeded where that takes longer than
// `timeout_ms` (-1: it may take for ever); the command is abandoned then. Of kind corrupt where it
// is more than a mebibyte.
Result<std::string> output_of(const std::vector<std::string>& command, int timeout_ms = -1);

}  // namespace sheaf::cli
