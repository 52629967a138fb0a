#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "channel/replica_end.h"
#include "engine/engine.h"

namespace sheaf::replica {

// What a channel of this model carries.
channel::Limits limits_of(const model::ModelSpec& spec);

// Runs submissions on an engine; keeps the output buffer between them. One thread at a time.
class Runner {
 public:
  explicit Runner(engine::Engine& engine) : engine_(engine) {}

  struct Output {
    const engine::Rows& rows;  // valid until the next run
    TimeUs compute_us = 0;     // around the model alone
  };
  Result<Output> run(const channel::Submission& submission);

 private:
  Status check_finite() const;

  engine::Engine& engine_;
  std::vector<engine::ItemOptions> options_;
  engine::Rows rows_;
};

}  // namespace sheaf::replica
