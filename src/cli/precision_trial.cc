// What measure_precisions() of precision.h does.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/log.h"
#include "cli/child_process.h"
#include "cli/embedder.h"
#include "cli/layer_choice.h"
#include "cli/precision.h"
#include "cli/sample_texts.h"
#include "model/spec/product_dtype.h"
#include "model/spec/spec.h"

namespace sheaf::cli {
namespace {

constexpr int kTimedRuns = 3;     // of which the fastest counts: others may be at work here
constexpr int kCopiesOnCard = 5;  // of the samples in a timed batch: few texts leave it idle
constexpr int kSecondsMax = 60;   // of one dtype: a start waits for it
// After the first no timed run begins later than this.
constexpr TimeUs kTimedMostUs = 3'000'000;
// No layers are measured alone later than this, and none together later than the second.
constexpr TimeUs kAloneMostUs = 120'000'000, kTogetherMostUs = 180'000'000;

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

// Timed with so many copies of the samples; 0: not at all.
Result<Answers> answers_of(const OfflineEmbedderOptions& options, int copies) {
  SHEAF_ASSIGN(const auto embedder, make_offline_embedder(options));
  SHEAF_ASSIGN(EmbeddedBatch first, run_samples(*embedder));
  Answers answers{std::move(first.rows)};
  if (copies == 0) return answers;
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

TextErrors errors_of(std::vector<double> near) {
  for (double& one : near) one = 1 - one;
  return near;
}

void set_cosines(Precision& precision, const std::vector<double>& near) {
  precision.min_cosine = *std::ranges::min_element(near);
  precision.mean_cosine = 0;
  for (const double one : near) precision.mean_cosine += one / static_cast<double>(near.size());
}

// One model's answers to the samples, in one dtype after the other.
class SampleTrial {
 public:
  SampleTrial(const Computer& computer, const std::string& name, const ModelSource& source,
              const model::ModelSpec& spec)
      : options_{.replica_program = computer.program,
                 .name = name,
                 .source = source,
                 .seconds_max = kSecondsMax,
                 .environment = computer.environment},
        layers_(spec.layers),
        copies_(computer.card.empty() ? 1 : kCopiesOnCard),
        sparse_(!spec.is_reranker() && spec.main_output() == model::Output::sparse) {
    if (spec.is_reranker())
      options_.question.query = std::make_shared<const std::string>(sample_query());
  }

  // The one that all others are held against, first.
  Result<Precision> measure_exact(const NamedDtype& named) {
    log(LogLevel::info, "measuring {} ({})", named.dtype, named.backend);
    options_.source.dtype = named.dtype;
    SHEAF_ASSIGN(exact_, answers_of(options_, copies_));
    return Precision{
        .dtype = named.dtype, .backend = named.backend, .tokens_per_s = exact_.tokens_per_s};
  }

  // Of one that fails the cosines are 0.
  Precision measure(const NamedDtype& named) {
    log(LogLevel::info, "measuring {} ({})", named.dtype, named.backend);
    Precision precision{
        .dtype = named.dtype, .backend = named.backend, .mean_cosine = 0, .min_cosine = 0};
    const auto answers = answers_in(named.dtype, copies_);
    if (!answers.ok()) return precision;
    const std::vector<double> near = nearness(exact_, *answers, sparse_);
    precision.tokens_per_s = answers->tokens_per_s;
    set_cosines(precision, near);
    if (named.dtype == "bfloat16") in_bfloat16_ = errors_of(near);
    return precision;
  }

  // Of `all`, which is fp8 in all layers and was measured after bfloat16, as many as are accurate.
  // None are looked for where even all are too slow for `auto` to take them for the `best` so far:
  // fewer are no faster.
  std::optional<Precision> measure_some_layers(const Precision& all, const Precision& best) {
    const std::string inaccurate = fmt::format(
        "model {}: {:.5f} in the mean, {:.5f} at least is not accurate enough for fp8 "
        "in all {} layers",
        options_.name, all.mean_cosine, all.min_cosine, layers_);
    if (!is_worthwhile(all, best)) {
      log(LogLevel::info,
          "{}, and none are measured alone: with all it is {:.2f} times as fast as {}, and auto "
          "asks for {}",
          inaccurate, all.tokens_per_s / best.tokens_per_s, best.dtype, kWorthwhile);
      return std::nullopt;
    }
    log(LogLevel::info, "{}: measuring some", inaccurate);
    const TimeUs begin = monotonic_us();
    std::vector<Precision> timed;  // all that was measured together
    const auto alone = [&](const Layers& layers) -> Result<TextErrors> {
      SHEAF_TRY(check_time(begin + kAloneMostUs));
      SHEAF_ASSIGN(OfLayers measured, measure_layers(all, layers, 0));
      return std::move(measured.errors);
    };
    const auto together = [&](const Layers& layers) -> Result<TextErrors> {
      SHEAF_TRY(check_time(begin + kTogetherMostUs));
      SHEAF_ASSIGN(OfLayers measured, measure_layers(all, layers, copies_));
      timed.push_back(std::move(measured.precision));
      return std::move(measured.errors);
    };
    if (in_bfloat16_.empty()) in_bfloat16_.resize(exact_.rows.size());
    if (const auto chosen = choose_layers(layers_, in_bfloat16_, alone, together))
      return *std::ranges::find(timed, model::text_of({all.dtype, *chosen}), &Precision::dtype);
    log(LogLevel::info, "model {}: fp8 is accurate enough in no choice of layers that was measured",
        options_.name);
    return std::nullopt;
  }

 private:
  struct OfLayers {
    Precision precision;
    TextErrors errors;
  };
  // `all` in these layers alone; without copies its rate is 0.
  Result<OfLayers> measure_layers(const Precision& all, const Layers& layers, int copies) {
    OfLayers some{all, {}};
    Precision& precision = some.precision;
    precision.of_layers = layers_;
    precision.dtype = model::text_of({all.dtype, layers});
    SHEAF_ASSIGN(const Answers answers, answers_in(precision.dtype, copies));
    const std::vector<double> near = nearness(exact_, answers, sparse_);
    precision.tokens_per_s = answers.tokens_per_s;
    set_cosines(precision, near);
    log(LogLevel::info, "model {}: {}: cosine mean {:.5f}, least {:.5f}", options_.name,
        precision.dtype, precision.mean_cosine, precision.min_cosine);
    some.errors = errors_of(near);
    return some;
  }

  static Status check_time(TimeUs most_us) {
    if (monotonic_us() <= most_us) return {};
    return Error{ErrorCode::unavailable, "no time is left to measure further layers"};
  }

  // What fails is said in the log.
  Result<Answers> answers_in(const std::string& dtype, int copies) {
    options_.source.dtype = dtype;
    auto answers = answers_of(options_, copies);
    if (!answers.ok())
      log(LogLevel::warn, "model {}: {} fails: {}", options_.name, dtype, answers.error().message);
    return answers;
  }

  OfflineEmbedderOptions options_;
  const std::uint32_t layers_;
  const int copies_;
  const bool sparse_;
  Answers exact_;
  TextErrors in_bfloat16_;  // empty: it was not measured
};

}  // namespace

double cosine_of(std::span<const float> a, std::span<const float> b, bool sparse) {
  if (!sparse && a.size() != b.size()) return 0;
  const auto times = sparse ? sparse_product : product;
  const double of_a = times(a, a), of_b = times(b, b);
  if (of_a == 0 && of_b == 0) return 1;
  const double quotient = times(a, b) / std::sqrt(of_a * of_b);
  return std::isfinite(quotient) ? quotient : 0;
}

Result<std::vector<Precision>> measure_precisions(const Computer& computer, const std::string& name,
                                                  const ModelSource& source) {
  SHEAF_ASSIGN(const model::ModelSpec spec, model::read_spec(source.folder, source.pooling));
  SHEAF_ASSIGN(const auto dtypes, dtypes_of(computer));
  const NamedDtype& first = dtypes.front();
  if (!is_measured(spec))
    return std::vector<Precision>{{.dtype = first.dtype, .backend = first.backend}};
  SampleTrial trial(computer, name, source, spec);
  SHEAF_ASSIGN(Precision exact, trial.measure_exact(first));
  std::vector<Precision> measured = {std::move(exact)};
  for (const NamedDtype& named : std::span(dtypes).subspan(1)) {
    Precision precision = trial.measure(named);
    // Where it failed, so would some layers.
    if (named.dtype == "fp8" && !precision.is_accurate() && precision.tokens_per_s > 0)
      if (auto some = trial.measure_some_layers(precision, best_precision(measured)))
        measured.push_back(*std::move(some));
    measured.push_back(std::move(precision));
  }
  return measured;
}

}  // namespace sheaf::cli
