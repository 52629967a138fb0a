#include "cli/bench_report.h"

#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "cli/table.h"

namespace sheaf::cli {
namespace {

double per_second(double amount, double seconds) { return seconds > 0 ? amount / seconds : 0; }

double texts_of(const BenchStep& step) {
  return static_cast<double>(step.result.answered) * step.batch_size;
}

std::vector<std::string> row_of(const BenchStep& step) {
  const LoadResult& result = step.result;
  std::vector<std::string> row = {
      fmt::format("{}", step.batch_size), human_count(per_second(texts_of(step), result.seconds)),
      human_count(per_second(static_cast<double>(result.tokens), result.seconds))};
  for (double q : {0.5, 0.9, 0.99, 0.999})
    row.push_back(result.latencies_us.empty() ? "-"
                                              : human_duration(quantile(result.latencies_us, q)));
  row.push_back(result.overheads_us.empty() ? "-"
                                            : human_duration(quantile(result.overheads_us, 0.5)));
  row.push_back(fmt::format("{}", result.errors));
  return row;
}

std::string remarks(const BenchStep& step) {
  std::string out;
  if (step.result.errors > 0)
    out += fmt::format("batch {}: first error: {}\n", step.batch_size, step.result.first_error);
  if (step.result.ended_by_signal)
    out += fmt::format("batch {}: interrupted after {}\n", step.batch_size,
                       human_duration(step.result.seconds * 1e6));
  else if (step.result.answered == 0 && step.result.errors == 0)
    out += fmt::format("batch {}: nothing was answered in time; give it a longer --duration\n",
                       step.batch_size);
  if (step.result.unsent > 0)
    out += fmt::format(
        "batch {}: this rate cannot be kept: {} requests were due but never sent,\n"
        "  as all connections (--concurrency) were busy; the others' latencies are above\n",
        step.batch_size, step.result.unsent);
  return out;
}

nlohmann::json json_of_step(const BenchStep& step) {
  const LoadResult& result = step.result;
  const auto ms = [&](double q) { return quantile(result.latencies_us, q) / 1e3; };
  const double texts = texts_of(step);
  nlohmann::json json = {
      {"batch_size", step.batch_size},
      {"requests", result.answered},
      {"texts", texts},
      {"tokens", result.tokens},
      {"seconds", result.seconds},
      {"requests_per_s", per_second(static_cast<double>(result.answered), result.seconds)},
      {"texts_per_s", per_second(texts, result.seconds)},
      {"tokens_per_s", per_second(static_cast<double>(result.tokens), result.seconds)},
      {"tokens_per_text", texts > 0 ? static_cast<double>(result.tokens) / texts : 0},
      {"latency_ms", {{"p50", ms(0.5)}, {"p90", ms(0.9)}, {"p99", ms(0.99)}, {"p99.9", ms(0.999)}}},
      {"errors", result.errors},
      {"unsent", result.unsent}};
  json["overhead_us_p50"] = result.overheads_us.empty()
                                ? nlohmann::json(nullptr)
                                : nlohmann::json(quantile(result.overheads_us, 0.5));
  if (!result.first_error.empty()) json["first_error"] = result.first_error;
  return json;
}

}  // namespace

std::string bench_table(const BenchSetup& setup, const std::vector<BenchStep>& steps) {
  std::string out = setup.rate > 0
                        ? fmt::format("{} {}, {} requests/s, latency from when a request was due\n",
                                      setup.protocol, setup.server, setup.rate)
                        : fmt::format("{} {}, {} requests under way\n", setup.protocol,
                                      setup.server, setup.concurrency);
  Table table({{"batch"},
               {"texts/s"},
               {"tokens/s"},
               {"p50"},
               {"p90"},
               {"p99"},
               {"p99.9"},
               {"overhead"},
               {"errors"}});
  for (const BenchStep& step : steps) table.add_row(row_of(step));
  out += table.render();
  for (const BenchStep& step : steps) out += remarks(step);
  return out + "overhead: a request's time less the replica's compute time, median\n";
}

std::string bench_json(const BenchSetup& setup, const std::vector<BenchStep>& steps) {
  nlohmann::json json = {{"server", setup.server},
                         {"protocol", setup.protocol},
                         {"concurrency", setup.concurrency},
                         {"steps", nlohmann::json::array()}};
  json["model"] = setup.model.empty() ? nlohmann::json(nullptr) : nlohmann::json(setup.model);
  json["rate"] = setup.rate > 0 ? nlohmann::json(setup.rate) : nlohmann::json(nullptr);
  for (const BenchStep& step : steps) json["steps"].push_back(json_of_step(step));
  return json.dump(2) + "\n";
}

}  // namespace sheaf::cli
