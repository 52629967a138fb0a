#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "fleet/loop.h"
#include "fleet/process.h"
#include "model/spec/shard.h"

namespace sheaf::fleet {

// What is packed.
struct PackSource {
  std::string folder, pooling, dtype;
  model::Shard shard = {};
};

// One run of `sheaf-replica pack`: a model's folder, or a process's part of it, becomes a sealed
// memfd.
class Packing : public std::enable_shared_from_this<Packing> {
 public:
  using Done = std::function<void(Result<Fd>)>;  // under the mutex, once, never from begin()

  static Result<std::shared_ptr<Packing>> begin(const Loop& loop, const std::string& program,
                                                const std::vector<std::string>& environment,
                                                const PackSource& source, Done done);
  Packing(const Loop& loop, Process process, Fd control, Fd weights, Done done);
  // Kills the process if it is stopped; `done` hears of it as of any failure. Under the mutex.
  void end_if_stopped();
  void cancel();  // ends the process; `done` will not be called; under the mutex

 private:
  void watch();
  Result<Fd> finish();

  Loop loop_;
  Process process_;
  boost::asio::posix::stream_descriptor exit_;
  Fd control_, weights_;
  Done done_;
};

// The text of the line {"error": "..."} among those of a child's control socket, or "".
std::string find_error(const std::string& lines);

}  // namespace sheaf::fleet
