#include "replica/runner.h"

#include <cmath>
#include <string>

namespace sheaf::replica {

Result<Runner::Output> Runner::run(const channel::Submission& submission) {
  options_.clear();
  for (const auto& item : submission.options)
    options_.push_back({item.normalize, item.dimensions, item.second_at});
  values_.resize(submission.options.size() * engine_.spec().dimensions);

  const TimeUs start = monotonic_us();
  SHEAF_TRY(engine_.embed({submission.ids, submission.cu_seqlens, options_}, values_));
  const TimeUs took_us = monotonic_us() - start;
  SHEAF_TRY(check_finite(submission.options.size()));
  return Output{values_, took_us};
}

// Weights are checked when they are packed; this is a sum that overflowed on its way.
Status Runner::check_finite(std::size_t texts) const {
  const std::size_t size = values_.size() / texts;
  for (std::size_t i = 0; i < values_.size(); ++i)
    if (!std::isfinite(values_[i]))
      return Error{ErrorCode::internal, "the model's answer to text " + std::to_string(i / size) +
                                            " of the batch holds a value that is not finite"};
  return {};
}

}  // namespace sheaf::replica
