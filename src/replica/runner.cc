#include "replica/runner.h"

namespace sheaf::replica {

Result<Runner::Output> Runner::run(const channel::Submission& submission) {
  options_.clear();
  for (const auto& item : submission.options) options_.push_back({item.normalize, item.dimensions});
  values_.resize(submission.options.size() * engine_.spec().dimensions);

  const TimeUs start = monotonic_us();
  SHEAF_TRY(engine_.embed({submission.ids, submission.cu_seqlens, options_}, values_));
  return Output{values_, monotonic_us() - start};
}

}  // namespace sheaf::replica
