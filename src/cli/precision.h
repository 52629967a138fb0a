#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file_lock.h"
#include "base/result.h"
#include "cli/computer.h"
#include "cli/model_source.h"
#include "model/spec/spec.h"

// What computing a model's products in another dtype than float32 costs in accuracy and gains in
// speed, on this processor or a kind of card. Measured once over sample texts and kept
// (cli/measured_store.h).
namespace sheaf::cli {

// What `auto` asks of the cosines in the mean, and of each.
constexpr double kLeastMeanCosine = 0.999, kLeastCosine = 0.995;

struct Precision {
  std::string dtype;            // a text of model::ProductDtype: "float32", "int8", "fp8:0,2-4"
  std::string backend;          // "cpu amx bf16"
  double tokens_per_s = 0;      // on all cores, or of one replica on a card
  double mean_cosine = 1;       // of its answers to those of float32, over the sample texts
  double min_cosine = 1;        // of scores: 1 - (difference / deviation of float32's)^2 / 2
  std::uint32_t of_layers = 0;  // that the model has, where dtype names some of them
  bool is_accurate() const { return mean_cosine >= kLeastMeanCosine && min_cosine >= kLeastCosine; }
};

// Classifiers are not: what they answer to any text may hang on one bit. Their only precision is
// float32, of unknown rate.
bool is_measured(const model::ModelSpec& spec);

// Of each dtype that the program names and `--dtype` takes, float32 first. Takes as long as the
// model needs for some 3,000 tokens in each, up to four times, on a card sixteen times, and a
// minute a dtype at most. Where fp8 is not accurate, fp8 in the layers that are stands before it,
// if there are some (cli/layer_choice.h): that takes up to twelve loads more, some to see that the
// choice holds, and four minutes at most. No layers are looked for where fp8 in all of them, the
// fastest that any choice can be, is not worthwhile. `name` is the model's, in errors; source.dtype
// is ignored.
Result<std::vector<Precision>> measure_precisions(const Computer& computer, const std::string& name,
                                                  const ModelSource& source);

// What was kept; nothing if there is none that holds.
std::optional<std::vector<Precision>> kept_precisions(const Computer& computer,
                                                      const ModelSource& source);
// By kind of card.
std::map<std::string, std::vector<Precision>> kept_precisions_on_cards(const ModelSource& source);
// While it lives, no other process measures the same. Waits for one that does.
Result<FileLock> lock_precisions(const Computer& computer, const ModelSource& source,
                                 const std::string& name);
Status keep_precisions(const Computer& computer, const ModelSource& source,
                       std::span<const Precision> precisions);

// Of two answers that say nothing 1, of one 0, and of what is no number too. Sparse: rows of terms,
// each an id and a weight, ids ascending.
double cosine_of(std::span<const float> a, std::span<const float> b, bool sparse);

constexpr double kWorthwhile = 1.1;  // a gain below is not worth any loss
// Whether one that is less exact gains enough over another for `auto` to take it, if it is
// accurate.
bool is_worthwhile(const Precision& other, const Precision& than);

// What `--dtype auto` means: from the most exact dtype on, the next that is accurate
// and gains a tenth over the one chosen so far.
const Precision& best_precision(std::span<const Precision> precisions);

// "bfloat16 (cpu amx bf16): 14,200 tokens/s, 2.9 times float32; cosine mean 0.99998, least
// 0.99994", "fp8:0,2 (cuda fp8, in the feed-forward parts of 2 of 6 layers): ..."
std::string describe(const Precision& precision, std::span<const Precision> all);

// What auto is where nothing is measured: bfloat16 on cards, else float32; of classifiers float32.
std::string unmeasured_dtype(const Computer& computer, const model::ModelSpec& spec);

// `wanted` but for "auto": what was kept, else `unmeasured`; and of "fp8" the layers that were
// kept.
std::string dtype_at_once(const std::string& wanted, const Computer& computer,
                          const ModelSource& source, const std::string& unmeasured = "float32");

// `wanted` but for "auto": what was kept, else measured now and kept; and of "fp8" the layers that
// were kept. Says in the log what is chosen, and if what is wanted was measured not to be accurate.
Result<std::string> dtype_for_serving(const std::string& wanted, const Computer& computer,
                                      const std::string& name, const ModelSource& source);

// Error unless `dtype` is auto, float32, bfloat16, int8 or fp8, that with layers or without.
Status check_dtype(std::string_view dtype);

}  // namespace sheaf::cli
