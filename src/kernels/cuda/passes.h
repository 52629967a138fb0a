#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cuda/device.h"

namespace sheaf::kernels::cuda {

// Of its passes a device keeps those that were used last.
inline constexpr std::size_t kPassesKept = 128;
// How often a pass has to have come before it is recorded: that takes as long as some dozen
// launches of it, and shapes that came only once or twice seldom come again.
inline constexpr std::uint64_t kRunsBefore = 3;

// The passes of a device over batches (Device::begin_pass). One whose shape was there often enough
// is recorded while it runs as ever, and from then on repeated: what it writes is put where its
// recording takes it from, what it launches is left out, and the recording is launched where the
// pass ends. So a pass that costs more to launch than to compute is launched at once.
//
// A Graph records from when it is made until finish():
//   Stream stream()                     what is given to it is recorded
//   bool ok()                           all of it was, so far
//   bool write(host, bytes, to)         a copy of what `host` holds, or will hold: below
//   bool finish()                       from now on it can be launched
//   bool rewrite(host, bytes, to)       what the next copy is of; false: it is not that copy's turn
//   bool launch(Stream)                 all of it, in its order; then rewrite() begins at the first
template <class Graph>
class Passes {
 public:
  explicit Passes(Device& device) : device_(device) {}

  void begin(std::span<const std::uint32_t> shape) {
    finish();
    if (shape.empty() || given_up_) return;
    const auto [found, is_new] = passes_.try_emplace({shape.begin(), shape.end()});
    found->second.used = ++clock_;
    if (is_new) drop_oldest();
    if (found->second.runs++ < kRunsBefore) return;
    pass_ = &found->second;
    if (repeats()) return;
    recording_ = std::make_unique<Graph>();
    if (!recording_->ok()) give_up();
  }
  // Whether the pass that runs is a recording's.
  bool repeats() const { return pass_ != nullptr && pass_->graph != nullptr; }

  bool give(const Device::Launch& launch) {
    if (repeats()) return true;
    const bool taken = launch(device_.stream());
    if (recording_ != nullptr && taken && device_.status().ok())
      if (!launch(recording_->stream()) || !recording_->ok()) give_up();
    return taken;
  }
  // False: the caller has to write it.
  bool write(const void* host, std::size_t bytes, void* to) {
    if (recording_ != nullptr && !recording_->write(host, bytes, to)) give_up();
    if (!repeats()) return false;
    if (!pass_->graph->rewrite(host, bytes, to))
      fail("a pass wrote " + std::to_string(bytes) + " bytes that its recording does not");
    return true;
  }
  void finish() {
    if (recording_ != nullptr && !recording_->finish()) give_up();
    if (pass_ == nullptr) return;
    if (recording_ != nullptr)
      pass_->graph = std::move(recording_);
    else if (device_.status().ok() && !pass_->graph->launch(device_.stream()))
      fail("the card does not repeat what was recorded");
    pass_ = nullptr;
  }
  // Addresses are not what they were.
  void forget() {
    if (repeats()) fail("memory was allocated within a pass that is repeated");
    recording_ = nullptr;
    pass_ = nullptr;
    passes_.clear();
  }

 private:
  struct Pass {
    std::unique_ptr<Graph> graph;  // once it is recorded
    std::uint64_t used = 0, runs = 0;
  };

  // Nothing is lost: what is recorded runs too.
  void give_up() {
    given_up_ = true;
    recording_ = nullptr;
    pass_ = nullptr;
    passes_.clear();
  }
  void drop_oldest() {
    if (passes_.size() <= kPassesKept) return;
    auto oldest = passes_.begin();
    for (auto i = passes_.begin(); i != passes_.end(); ++i)
      if (i->second.used < oldest->second.used) oldest = i;
    passes_.erase(oldest);
  }
  void fail(std::string what) { device_.fail({ErrorCode::internal, std::move(what)}); }

  Device& device_;
  std::map<std::vector<std::uint32_t>, Pass> passes_;
  Pass* pass_ = nullptr;              // that is recorded or repeated
  std::unique_ptr<Graph> recording_;  // of it
  std::uint64_t clock_ = 0;
  bool given_up_ = false;
};

}  // namespace sheaf::kernels::cuda
