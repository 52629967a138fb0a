#pragma once

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "kernels/shared_copy.h"
#include "model/spec/product_dtype.h"
#include "replica/program.h"

// Faults on demand, for the tests alone: a program built with them is no product. Set in the
// replica's environment:
//
//   SHEAF_FAULT_CRASH_ID   a batch that contains this token id dies by SIGSEGV
//   SHEAF_FAULT_HANG_ID    ... spins forever without progress
//   SHEAF_FAULT_EXIT_ID    ... exits with code 3
//   SHEAF_FAULT_FAIL_ID    ... fails as a card does: this batch, and all that come after it
//   SHEAF_FAULT_FULL_ID    ... the same for want of memory
//   SHEAF_FAULT_SLOW_US    every batch sleeps this long first, with progress: slow is not hung
//   SHEAF_FAULT_SLOW_IN    in these dtypes, "float32,fp8", a batch takes five times as long: a
//                          card on which others are faster, whatever this processor makes of them
//   SHEAF_FAULT_NO_CARD    what sheaf-replica-emulated says where it is asked for its cards
//   SHEAF_FAULT_NO_SUMS    ... why its ranks cannot add up over several
//   SHEAF_FAULT_CARD_COPY  of the weights on its card, what others are given: 0: so many bytes of
//                          zeros; more: as few bytes as that; without it: the copy that was made
namespace sheaf::faults {

inline int setting(const char* name) {
  const char* text = std::getenv(name);
  return text == nullptr ? -1 : std::atoi(text);
}

// Of fp8 in some layers it is fp8 that is named.
inline bool is_slow_in(std::string_view dtype) {
  const char* names = std::getenv("SHEAF_FAULT_SLOW_IN");
  if (names == nullptr) return false;
  const std::string name = "," + std::string(model::dtype_name_in(dtype)) + ",";
  return ("," + std::string(names) + ",").find(name) != std::string::npos;
}

class FaultyEngine final : public engine::Engine {
 public:
  FaultyEngine(std::unique_ptr<engine::Engine> engine, std::atomic<std::uint64_t>* progress)
      : engine_(std::move(engine)), progress_(progress) {}

  const model::ModelSpec& spec() const override { return engine_->spec(); }
  std::string device() const override { return engine_->device(); }
  std::string dtype() const override { return engine_->dtype(); }
  Status status() const override { return failure_.ok() ? engine_->status() : failure_; }

  Status embed(const engine::Batch& batch, engine::Rows& out) override {
    sleep(slow_us_);
    if (contains(batch, crash_id_)) crash();
    if (contains(batch, exit_id_)) ::_exit(3);
    if (contains(batch, hang_id_)) hang();
    if (contains(batch, fail_id_)) failure_ = Error{ErrorCode::internal, "the device failed"};
    if (contains(batch, full_id_)) failure_ = Error{ErrorCode::too_large, "the device is full"};
    SHEAF_TRY(status());
    const auto begin = std::chrono::steady_clock::now();
    SHEAF_TRY(engine_->embed(batch, out));
    if (is_slow_)
      sleep(4 * (std::chrono::steady_clock::now() - begin) / std::chrono::microseconds(1));
    return {};
  }

 private:
  void sleep(std::int64_t left_us) {
    constexpr std::int64_t kStepUs = 5'000;
    for (; left_us > 0; left_us -= kStepUs) {
      ::usleep(static_cast<useconds_t>(std::min(left_us, kStepUs)));
      if (progress_ != nullptr) progress_->fetch_add(1, std::memory_order_relaxed);
    }
  }
  static bool contains(const engine::Batch& batch, int id) {
    return id >= 0 && std::find(batch.ids.begin(), batch.ids.end(), id) != batch.ids.end();
  }
  [[noreturn]] static void crash() {
    // By the default action even where a sanitizer has a handler of its own.
    ::signal(SIGSEGV, SIG_DFL);
    ::raise(SIGSEGV);
    std::abort();
  }
  [[noreturn]] static void hang() {
    for (volatile unsigned turns = 0;;) turns = turns + 1;
  }

  std::unique_ptr<engine::Engine> engine_;
  std::atomic<std::uint64_t>* const progress_;
  int crash_id_ = setting("SHEAF_FAULT_CRASH_ID");
  int hang_id_ = setting("SHEAF_FAULT_HANG_ID");
  int exit_id_ = setting("SHEAF_FAULT_EXIT_ID");
  int fail_id_ = setting("SHEAF_FAULT_FAIL_ID");
  int full_id_ = setting("SHEAF_FAULT_FULL_ID");
  int slow_us_ = setting("SHEAF_FAULT_SLOW_US");
  bool is_slow_ = is_slow_in(engine_->dtype());
  Status failure_;
};

// In the place of the copy that the engine has.
inline Status spoil(kernels::SharedCopy& copy, std::size_t bytes) {
  const int wanted = setting("SHEAF_FAULT_CARD_COPY");
  if (wanted < 0 || !copy.made) return {};
  SHEAF_ASSIGN(copy.made, make_memfd("spoilt", wanted == 0 ? bytes : wanted));
  return {};
}

using Open = decltype(replica::Backend::open);

inline Open with_hooks(Open open) {
  return [open = std::move(open)](
             Mapping packed,
             engine::EngineOptions options) -> Result<std::unique_ptr<engine::Engine>> {
    const std::size_t bytes = packed.size();
    SHEAF_ASSIGN(auto engine, open(std::move(packed), options));
    if (options.weights_copy != nullptr) SHEAF_TRY(spoil(*options.weights_copy, bytes));
    return std::unique_ptr<engine::Engine>(
        std::make_unique<FaultyEngine>(std::move(engine), options.progress));
  };
}

}  // namespace sheaf::faults
