#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "kernels/ops.h"

namespace sheaf::kernels {

// Where a model's time goes: calls of operations, added up by kind and shape. Any thread may call
// anything.
class Profile {
 public:
  struct Call {
    std::string operation;  // with its shape: "linear 384->1536 gelu"
    std::size_t rows = 0;
    double flop = 0;   // multiplications and additions of products; 0: it only moves
    double bytes = 0;  // of rows that it reads and writes
    std::int64_t wall_ns = 0;
    std::int64_t busy_ns = 0;  // of all threads, within pieces of work; 0: not known
    int threads = 1;
  };
  struct Sum {
    std::size_t calls = 0, rows = 0;
    double flop = 0, bytes = 0, wall_ns = 0, busy_ns = 0;
    double threads_ns = 0;  // wall time times threads: what busy_ns is a share of
  };
  void add(const Call& call);
  std::map<std::string, Sum> sums() const;  // by Call::operation

  // Lines of up to 80 columns, the costliest operation first: calls, mean rows of a call, time,
  // share, rate, and how much of their time the threads worked rather than waited for others.
  std::string table(const std::string& title) const;

  // BackendOptions::busy_ns of the backend whose calls are added.
  std::atomic<std::uint64_t> busy_ns{0};

 private:
  mutable std::mutex mutex_;
  std::map<std::string, Sum> sums_;
};

// `real`, whose every call is timed into `profile`, which outlives it.
std::unique_ptr<Backend> make_profiled(std::unique_ptr<Backend> real, int threads,
                                       Profile& profile);

// What SHEAF_PROFILE=1 in the environment asks for; null: it does not.
std::shared_ptr<Profile> profile_if_asked();

// The table on standard error, in one piece; nothing if `profile` is null.
void print_profile(const Profile* profile);

}  // namespace sheaf::kernels
