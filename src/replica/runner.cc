#include "replica/runner.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace sheaf::replica {
namespace {

model::Output output_of(channel::Output output) {
  switch (output) {
    case channel::Output::sparse:
      return model::Output::sparse;
    case channel::Output::tokens:
      return model::Output::tokens;
    case channel::Output::vector:
      break;
  }
  return model::Output::vector;
}

}  // namespace

channel::Limits limits_of(const model::ModelSpec& spec) {
  channel::Limits limits;
  limits.max_batch_tokens = std::max({limits.max_batch_tokens, spec.max_length, spec.positions});
  limits.row_floats = spec.width_of(model::Output::vector);
  limits.sparse_terms = spec.width_of(model::Output::sparse);
  limits.token_floats = spec.width_of(model::Output::tokens);
  return limits;
}

Result<Runner::Output> Runner::run(const channel::Submission& submission) {
  options_.clear();
  for (const auto& item : submission.options)
    options_.push_back({item.normalize, item.dimensions, item.second_at, output_of(item.output)});

  const TimeUs start = monotonic_us();
  SHEAF_TRY(engine_.embed({submission.ids, submission.cu_seqlens, options_}, rows_));
  const TimeUs took_us = monotonic_us() - start;
  SHEAF_TRY(check_finite());
  return Output{rows_, took_us};
}

// Weights are checked when they are packed; this is a sum that overflowed on its way.
Status Runner::check_finite() const {
  const auto values = rows_.values();
  const auto* wrong = std::find_if_not(values.data(), values.data() + values.size(),
                                       [](float value) { return std::isfinite(value); });
  if (wrong == values.data() + values.size()) return {};
  // Not whose answer: a batch holds texts of several requests, and is run again text by text.
  return Error{ErrorCode::internal, "the model's answer holds a value that is not finite"};
}

}  // namespace sheaf::replica
