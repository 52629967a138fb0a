#include "cli/precision.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "base/log.h"
#include "model/spec/product_dtype.h"
#include "model/spec/spec.h"

namespace sheaf::cli {
namespace {

constexpr std::array<std::string_view, 5> kDtypes = {"auto", "float32", "bfloat16", "int8", "fp8"};

// Measures and keeps, unless another process just did. Nothing where measuring fails, which is no
// reason not to serve.
std::optional<std::vector<Precision>> measure_once(const Computer& computer,
                                                   const std::string& name,
                                                   const ModelSource& source,
                                                   const model::ModelSpec& spec) {
  // Two that measure at once would each find the machine busy. Where nothing can be kept there is
  // no lock either.
  const auto lock = lock_precisions(computer, source, name);
  if (auto kept = kept_precisions(computer, source)) return kept;
  log(LogLevel::info, "model {}: measuring precisions, once on this machine{}", name,
      computer.card.empty() ? "" : "'s " + computer.card);
  auto measured = measure_precisions(computer, name, source);
  if (!measured.ok()) {
    log(LogLevel::warn, "model {}: precisions cannot be measured, so it computes in {}: {}", name,
        unmeasured_dtype(computer, spec), measured.error().message);
    return std::nullopt;
  }
  if (const Status kept = keep_precisions(computer, source, *measured); !kept.ok())
    log(LogLevel::warn, "what was measured cannot be kept: {}", kept.error().message);
  return std::move(*measured);
}

// Of fp8 the layers that were chosen, where they were.
std::string in_chosen_layers(const std::string& wanted,
                             const std::optional<std::vector<Precision>>& kept) {
  if (wanted != "fp8" || !kept) return wanted;
  const auto chosen = std::ranges::find_if(*kept, [](const Precision& one) {
    return one.of_layers > 0 && model::dtype_name_in(one.dtype) == "fp8";
  });
  return chosen == kept->end() ? wanted : chosen->dtype;
}

// What is wanted by name is taken, and said if it is not accurate or not all that was named.
std::string dtype_by_name(const std::string& wanted, const Computer& computer,
                          const std::string& name, const ModelSource& source) {
  const auto kept = kept_precisions(computer, source);
  const std::string dtype = in_chosen_layers(wanted, kept);
  if (!kept) return dtype;
  for (const Precision& precision : *kept)
    if (precision.dtype == dtype && !precision.is_accurate())
      log(LogLevel::warn, "model {}: {}", name, describe(precision, *kept));
    else if (precision.dtype == dtype && dtype != wanted)
      log(LogLevel::info, "model {}: by --dtype {} computes in {}", name, wanted,
          describe(precision, *kept));
  return dtype;
}

}  // namespace

bool is_measured(const model::ModelSpec& spec) {
  return spec.task() == model::Task::embed || spec.is_reranker();
}

bool is_worthwhile(const Precision& other, const Precision& than) {
  return other.tokens_per_s > 0 && other.tokens_per_s >= kWorthwhile * than.tokens_per_s;
}

const Precision& best_precision(std::span<const Precision> precisions) {
  const Precision* best = &precisions.front();
  for (const Precision& other : precisions)  // the more exact ones come first
    if (other.is_accurate() && is_worthwhile(other, *best)) best = &other;
  return *best;
}

std::string describe(const Precision& precision, std::span<const Precision> all) {
  std::string text = fmt::format("{} ({}", precision.dtype, precision.backend);
  if (const auto dtype = model::parse_product_dtype(precision.dtype);
      dtype.ok() && dtype->fp8_layers && precision.of_layers > 0)
    text += fmt::format(", in the feed-forward parts of {} of {} layers", dtype->fp8_layers->size(),
                        precision.of_layers);
  text += ")";
  if (precision.tokens_per_s > 0) text += fmt::format(": {:.0f} tokens/s", precision.tokens_per_s);
  if (&precision == &all.front()) return text;
  text += fmt::format(", {:.2f} times {}; cosine mean {:.5f}, least {:.5f}",
                      precision.tokens_per_s / all.front().tokens_per_s, all.front().dtype,
                      precision.mean_cosine, precision.min_cosine);
  return precision.is_accurate() ? text : text + ": not accurate enough for auto";
}

std::string unmeasured_dtype(const Computer& computer, const model::ModelSpec& spec) {
  return computer.card.empty() || !is_measured(spec) ? "float32" : "bfloat16";
}

std::string dtype_at_once(const std::string& wanted, const Computer& computer,
                          const ModelSource& source, const std::string& unmeasured) {
  const auto kept = kept_precisions(computer, source);
  if (wanted != "auto") return in_chosen_layers(wanted, kept);
  return kept ? best_precision(*kept).dtype : unmeasured;
}

Result<std::string> dtype_for_serving(const std::string& wanted, const Computer& computer,
                                      const std::string& name, const ModelSource& source) {
  if (wanted != "auto") return dtype_by_name(wanted, computer, name, source);
  SHEAF_ASSIGN(const model::ModelSpec spec, model::read_spec(source.folder, source.pooling));
  if (!is_measured(spec)) return unmeasured_dtype(computer, spec);
  auto precisions = kept_precisions(computer, source);
  if (!precisions) precisions = measure_once(computer, name, source, spec);
  if (!precisions) return unmeasured_dtype(computer, spec);
  const Precision& best = best_precision(*precisions);
  for (const Precision& other : *precisions)
    if (!other.is_accurate())
      log(LogLevel::info, "model {}: {}", name, describe(other, *precisions));
  log(LogLevel::info, "model {}: by --dtype auto computes in {}", name,
      describe(best, *precisions));
  return best.dtype;
}

Status check_dtype(std::string_view dtype) {
  if (std::ranges::find(kDtypes, dtype) != kDtypes.end()) return {};
  if (model::dtype_name_in(dtype) == "fp8") {
    SHEAF_TRY(model::parse_product_dtype(dtype));
    return {};
  }
  constexpr std::pair<std::string_view, std::string_view> kMeant[] = {
      {"bf16", "bfloat16"}, {"fp16", "bfloat16"}, {"float16", "bfloat16"}, {"half", "bfloat16"},
      {"fp32", "float32"},  {"f32", "float32"},   {"float", "float32"},    {"q8_0", "int8"},
      {"float8", "fp8"},    {"e4m3", "fp8"}};
  const auto* meant = std::ranges::find(kMeant, dtype, [](const auto& pair) { return pair.first; });
  return Error{
      ErrorCode::invalid_argument,
      fmt::format(
          "'{}' is not one of auto, float32, bfloat16, int8, fp8{}", dtype,
          meant == std::end(kMeant) ? "" : fmt::format("; {} is the nearest", meant->second))};
}

}  // namespace sheaf::cli
