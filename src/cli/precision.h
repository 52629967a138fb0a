#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file_lock.h"
#include "base/result.h"
#include "cli/model_source.h"
#include "model/spec/spec.h"

// What computing a model's products in another dtype than float32 costs in accuracy and gains in
// speed, on this machine. Measured once over sample texts and kept in the user's cache folder
// ($SHEAF_CACHE, else $XDG_CACHE_HOME/sheaf; in it, precision), until model, program or processor
// are others.
namespace sheaf::cli {

struct Precision {
  std::string dtype;        // "float32", "bfloat16", "int8"
  std::string backend;      // "cpu amx bf16"
  double tokens_per_s = 0;  // on all cores
  double mean_cosine = 1;   // of its answers to those of float32, over the sample texts
  double min_cosine = 1;    // of scores: 1 - (difference / deviation of float32's)^2 / 2
  bool is_accurate() const { return mean_cosine >= 0.999 && min_cosine >= 0.995; }
};

// Classifiers are not: what they answer to any text may hang on one bit. Their only precision is
// float32, of unknown rate.
bool is_measured(const model::ModelSpec& spec);

// Of each dtype that the processor has instructions for, float32 first. Takes as long as the model
// needs for some 3,000 tokens in each, three times. `name` is the model's, in errors; source.dtype
// is ignored.
Result<std::vector<Precision>> measure_precisions(const std::string& replica_program,
                                                  const std::string& name,
                                                  const ModelSource& source);

// What was kept; nothing if there is none of this model, program and processor.
std::optional<std::vector<Precision>> kept_precisions(const std::string& replica_program,
                                                      const ModelSource& source);
// While it lives, no other process measures the model. Waits for one that does.
Result<FileLock> lock_measuring(const ModelSource& source, const std::string& name);
Status keep_precisions(const std::string& replica_program, const ModelSource& source,
                       std::span<const Precision> precisions);

// Of two answers that say nothing 1, of one 0, and of what is no number too. Sparse: rows of terms,
// each an id and a weight, ids ascending.
double cosine_of(std::span<const float> a, std::span<const float> b, bool sparse);

// What `--dtype auto` means: from the most exact dtype on, the next that is accurate
// and gains a tenth over the one chosen so far.
const Precision& best_precision(std::span<const Precision> precisions);

// "bfloat16 (cpu amx bf16): 14,200 tokens/s, 2.9 times float32; cosine mean 0.99998, least 0.99994"
std::string describe(const Precision& precision, std::span<const Precision> all);

// `wanted` but for "auto": what was kept, else float32.
std::string dtype_at_once(const std::string& wanted, const std::string& replica_program,
                          const ModelSource& source);

// `wanted` but for "auto": what was kept, else measured now and kept. Says in the log what is
// chosen, and if what is wanted was measured not to be accurate.
Result<std::string> dtype_for_serving(const std::string& wanted, const std::string& replica_program,
                                      const std::string& name, const ModelSource& source);

// Error unless `dtype` is auto, float32, bfloat16, int8 or fp8.
Status check_dtype(std::string_view dtype);

}  // namespace sheaf::cli
