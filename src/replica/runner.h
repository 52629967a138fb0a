#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "channel/replica_end.h"
#include "engine/engine.h"

namespace sheaf::replica {

// Runs submissions on an engine; keeps the output buffer between them. One thread at a time.
class Runner {
 public:
  explicit Runner(engine::Engine& engine) : engine_(engine) {}

  struct Output {
    std::span<const float> values;  // [texts, spec().dimensions], valid until the next run
    TimeUs compute_us = 0;          // around the model alone
  };
  Result<Output> run(const channel::Submission& submission);

 private:
  Status check_finite(std::size_t texts) const;

  engine::Engine& engine_;
  std::vector<engine::ItemOptions> options_;
  std::vector<float> values_;
};

}  // namespace sheaf::replica
