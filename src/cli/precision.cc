#include "cli/precision.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/log.h"
#include "cli/child_process.h"
#include "cli/embedder.h"
#include "cli/sample_texts.h"
#include "model/spec/spec.h"

namespace sheaf::cli {
namespace {

constexpr std::array<std::string_view, 5> kDtypes = {"auto", "float32", "bfloat16", "int8", "fp8"};
constexpr int kTimedRuns = 3;        // of which the fastest counts: others may be at work here
constexpr int kCopiesOnCard = 5;     // of the samples in a timed batch: few texts leave it idle
constexpr int kSecondsMax = 60;      // of one dtype: a start waits for it
constexpr double kWorthwhile = 1.1;  // a gain below is not worth any loss
// After the first no timed run begins later than this.
constexpr TimeUs kTimedMostUs = 3'000'000;

struct Answers {
  std::vector<std::vector<float>> rows;
  double tokens_per_s = 0;
};

Result<EmbeddedBatch> run_samples(Embedder& embedder, int copies = 1) {
  TextLines samples;
  for (int copy = 0; copy < copies; ++copy)
    for (const std::string& text : sample_texts()) {
      samples.texts.push_back(text);
      samples.places.push_back(fmt::format("sample text {}", samples.texts.size()));
    }
  SHEAF_TRY(embedder.submit(std::move(samples)));
  return embedder.receive();
}

Result<Answers> answers_of(const OfflineEmbedderOptions& options, int copies) {
  SHEAF_ASSIGN(const auto embedder, make_offline_embedder(options));
  SHEAF_ASSIGN(EmbeddedBatch first, run_samples(*embedder));
  Answers answers{std::move(first.rows)};
  const TimeUs most_us = monotonic_us() + kTimedMostUs;
  for (int run = 0; run < kTimedRuns && (run == 0 || monotonic_us() < most_us); ++run) {
    SHEAF_ASSIGN(const EmbeddedBatch batch, run_samples(*embedder, copies));
    const double seconds = static_cast<double>(std::max<std::int64_t>(batch.compute_us, 1)) * 1e-6;
    answers.tokens_per_s =
        std::max(answers.tokens_per_s, static_cast<double>(batch.tokens) / seconds);
  }
  return answers;
}

double product(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += double{a[i]} * b[i];
  return sum;
}

// Rows of terms, each an id and a weight, ids ascending.
double sparse_product(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  std::size_t i = 0, j = 0;
  while (i < a.size() && j < b.size()) {
    const float first = a[i], second = b[j];
    if (first == second) sum += double{a[i + 1]} * b[j + 1];
    if (first <= second) i += 2;
    if (second <= first) j += 2;
  }
  return sum;
}

double deviation(const std::vector<std::vector<float>>& scores) {
  double sum = 0, squares = 0;
  for (const auto& row : scores) {
    sum += row[0];
    squares += double{row[0]} * row[0];
  }
  const auto n = static_cast<double>(scores.size());
  return std::sqrt(std::max(squares / n - sum / n * sum / n, 0.0));
}

// How near each row is to float32's, 1 being the same.
std::vector<double> nearness(const Answers& exact, const Answers& other, bool sparse) {
  std::vector<double> near;
  const bool scores = exact.rows.front().size() == 1 && !sparse;
  const double spread = scores ? deviation(exact.rows) : 0;
  for (std::size_t i = 0; i < exact.rows.size(); ++i) {
    const auto &a = exact.rows[i], &b = other.rows[i];
    if (scores)
      near.push_back(spread > 0 ? 1 - std::pow((a[0] - b[0]) / spread, 2) / 2 : 0);
    else
      near.push_back(cosine_of(a, b, sparse));
  }
  return near;
}

struct NamedDtype {
  std::string dtype, backend;
};

// Those to be measured, float32 first.
Result<std::vector<NamedDtype>> dtypes_of(const Computer& computer) {
  SHEAF_ASSIGN(const std::string said, output_of({computer.program, "dtypes"}));
  const auto json = nlohmann::ordered_json::parse(said, nullptr, /*allow_exceptions=*/false);
  const bool strings = std::ranges::all_of(json, [](const auto& name) { return name.is_string(); });
  if (!json.is_object() || json.empty() || !strings || json.begin().key() != "float32")
    return Error{ErrorCode::internal, computer.program + " does not say what it can compute in"};
  const auto& wanted = computer.dtypes;
  std::vector<NamedDtype> dtypes;
  for (const auto& [dtype, backend] : json.items())
    if (check_dtype(dtype).ok() &&
        (wanted.empty() || std::ranges::find(wanted, dtype) != wanted.end()))
      dtypes.push_back({dtype, backend.get<std::string>()});
  if (dtypes.empty() || dtypes.front().dtype != "float32")
    return Error{ErrorCode::unsupported, computer.program + " has no float32 to measure others by"};
  return dtypes;
}

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

void warn_if_inaccurate(const std::string& dtype, const Computer& computer, const std::string& name,
                        const ModelSource& source) {
  const auto kept = kept_precisions(computer, source);
  if (!kept) return;
  for (const Precision& precision : *kept)
    if (precision.dtype == dtype && !precision.is_accurate())
      log(LogLevel::warn, "model {}: {}", name, describe(precision, *kept));
}

}  // namespace

double cosine_of(std::span<const float> a, std::span<const float> b, bool sparse) {
  if (!sparse && a.size() != b.size()) return 0;
  const auto times = sparse ? sparse_product : product;
  const double of_a = times(a, a), of_b = times(b, b);
  if (of_a == 0 && of_b == 0) return 1;
  const double quotient = times(a, b) / std::sqrt(of_a * of_b);
  return std::isfinite(quotient) ? quotient : 0;
}

bool is_measured(const model::ModelSpec& spec) {
  return spec.task() == model::Task::embed || spec.is_reranker();
}

Result<std::vector<Precision>> measure_precisions(const Computer& computer, const std::string& name,
                                                  const ModelSource& source) {
  SHEAF_ASSIGN(const model::ModelSpec spec, model::read_spec(source.folder, source.pooling));
  SHEAF_ASSIGN(const auto dtypes, dtypes_of(computer));
  OfflineEmbedderOptions options{.replica_program = computer.program,
                                 .name = name,
                                 .source = source,
                                 .seconds_max = kSecondsMax,
                                 .environment = computer.environment};
  const int copies = computer.card.empty() ? 1 : kCopiesOnCard;
  const bool ranks = spec.is_reranker();
  if (ranks) options.question.query = std::make_shared<const std::string>(sample_query());
  const bool sparse = !ranks && spec.main_output() == model::Output::sparse;

  std::vector<Precision> measured;
  Answers exact;
  for (const auto& [dtype, backend] : dtypes) {
    Precision precision{.dtype = dtype, .backend = backend};
    if (!is_measured(spec)) {
      measured.push_back(precision);
      break;
    }
    log(LogLevel::info, "measuring {} ({})", dtype, precision.backend);
    options.source.dtype = dtype;
    auto answered = answers_of(options, copies);
    if (!answered.ok()) {
      if (measured.empty()) return answered.error();  // nothing to hold the others against
      log(LogLevel::warn, "model {}: {} fails: {}", name, dtype, answered.error().message);
      precision.mean_cosine = precision.min_cosine = 0;
      measured.push_back(std::move(precision));
      continue;
    }
    Answers answers = std::move(*answered);
    precision.tokens_per_s = answers.tokens_per_s;
    if (measured.empty()) {
      exact = std::move(answers);
    } else {
      const std::vector<double> near = nearness(exact, answers, sparse);
      precision.min_cosine = *std::ranges::min_element(near);
      precision.mean_cosine = 0;
      for (const double one : near) precision.mean_cosine += one / static_cast<double>(near.size());
    }
    measured.push_back(std::move(precision));
  }
  return measured;
}

const Precision& best_precision(std::span<const Precision> precisions) {
  const Precision* best = &precisions.front();
  for (const Precision& other : precisions)  // the more exact ones come first
    if (other.is_accurate() && other.tokens_per_s >= kWorthwhile * best->tokens_per_s &&
        other.tokens_per_s > 0)
      best = &other;
  return *best;
}

std::string describe(const Precision& precision, std::span<const Precision> all) {
  std::string text = fmt::format("{} ({})", precision.dtype, precision.backend);
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
  if (wanted != "auto") return wanted;
  const auto kept = kept_precisions(computer, source);
  return kept ? best_precision(*kept).dtype : unmeasured;
}

Result<std::string> dtype_for_serving(const std::string& wanted, const Computer& computer,
                                      const std::string& name, const ModelSource& source) {
  if (wanted != "auto") {
    warn_if_inaccurate(wanted, computer, name, source);
    return wanted;
  }
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
