#include <fmt/core.h>
#include <unistd.h>

#include <cstdlib>

#include "cli/bench_report.h"
#include "cli/bench_requests.h"
#include "cli/bench_slices.h"
#include "cli/bench_texts.h"
#include "cli/client_flags.h"
#include "cli/command.h"
#include "cli/flag_set.h"
#include "cli/load.h"
#include "cli/progress_bar.h"
#include "cli/table.h"

// `sheaf bench`: for each batch size, prepare requests, run the load, add a row.
namespace sheaf::cli {
namespace {

struct BenchSettings {
  std::string server;
  bool grpc = false;
  std::string model;
  std::string api_key;
  std::vector<std::uint32_t> batch_sizes = {1, 16, 64};
  std::uint32_t concurrency = 64;
  double rate = 0;
  std::uint32_t prompt_length = 50;
  std::string texts_file;
  TimeUs duration_us = 10'000'000;
  TimeUs warmup_us = 1'000'000;
  std::uint64_t requests = 0;
  TimeUs timeout_us = 60'000'000;
  std::uint64_t seed = 1;
  bool json = false;
};

FlagSet flags_for(BenchSettings& s) {
  FlagSet flags("sheaf bench [flags]",
                "Measures embedding by a running server: throughput and latency.");
  flags.add({"server", "HOST:PORT", "server", "", "127.0.0.1:8080, gRPC 50050"}, text(s.server));
  flags.add({"grpc", "", "over gRPC instead of HTTP"}, boolean(s.grpc));
  flags.add({"model", "NAME", "served model", "", "the server's default"}, text(s.model));
  flags.add({"api-key", "K", "key to send", "", "none", true}, text(s.api_key));
  flags.add({"batch-sizes", "N,N", "texts a request, a step each"},
            number_list(s.batch_sizes, 1, 1u << 20));
  flags.add({"concurrency", "N", "requests under way at most"},
            whole_number(s.concurrency, 1, 1u << 16));
  flags.add({"rate", "R", "requests/s, open loop", "", "closed loop"}, positive_real(s.rate));
  flags.add({"prompt-length", "N", "tokens a text"}, whole_number(s.prompt_length, 3, 1u << 20));
  flags.add({"texts", "FILE", "take texts from its lines", "", "made of words"},
            text(s.texts_file));
  flags.add({"duration", "T", "of a step"}, duration(s.duration_us));
  flags.add({"requests", "N", "of a step, instead of a duration", "", "-"},
            whole_number(s.requests, 1, 1ull << 40));
  flags.add({"warmup", "T", "before a step, not counted"}, duration(s.warmup_us));
  flags.add({"timeout", "T", "of a request"}, duration(s.timeout_us));
  flags.add({"seed", "N", "of the texts made"}, whole_number(s.seed, 0, ~0ull));
  flags.add({"json", "", "print one JSON object"}, boolean(s.json));
  flags.set_epilogue(
      "With --rate, latency counts from when a request was due, so a queue in front of\n"
      "the server is not hidden. tokens/s are those that the server says it ran.\n"
      "SHEAF_SERVER and SHEAF_API_KEY are --server and --api-key.\n"
      "`sheaf bench slices MODEL` compares ways to cut the machine (--help there).\n"
      "Ctrl-C ends a step, and shows what there is by then.\n"
      "exit codes: 0 done, 1 a request failed, 2 wrong usage, 130 interrupted\n"
      "example: sheaf bench --batch-sizes 1,16 --concurrency 64 --duration 10s\n");
  return flags;
}

Status check(const FlagSet& flags) {
  if (!flags.given("requests") || !flags.given("duration")) return {};
  return Error{ErrorCode::invalid_argument,
               "--requests stands instead of --duration; leave one of them out"};
}

// How long `requests` requests will take, from a short run of the same load.
void say_expected_time(LoadTarget& target, const BenchSettings& settings, const LoadPlan& plan,
                       std::uint32_t batch_size) {
  double rate = settings.rate;
  if (rate == 0) {
    LoadPlan trial = plan;
    trial.requests = 0;
    trial.warmup_us = 0;
    trial.ends_at_signal = false;
    trial.duration_us = std::max<TimeUs>(settings.warmup_us, 500'000);
    const LoadResult result = run_load(target, trial, [](std::uint64_t) {});
    rate = static_cast<double>(result.answered) / result.seconds;
  }
  fmt::print(stderr, "batch {}: {} requests, {}\n", batch_size, settings.requests,
             rate > 0
                 ? "about " + human_duration(static_cast<double>(settings.requests) / rate * 1e6)
                 : "time unknown: none was answered in a short trial");
}

BenchStep run_step(LoadTarget& target, BenchTexts& texts, const BenchSettings& settings,
                   std::uint32_t batch_size) {
  prepare_requests(target, texts, requests_to_prepare(batch_size), batch_size);
  const LoadPlan plan{.lanes = settings.concurrency,
                      .rate = settings.rate,
                      .warmup_us = settings.warmup_us,
                      .duration_us = settings.duration_us,
                      .requests = settings.requests,
                      .ends_at_signal = true};
  const bool by_count = settings.requests > 0;
  if (by_count) say_expected_time(target, settings, plan, batch_size);
  ProgressBar bar(
      fmt::format("batch {}", batch_size),
      by_count ? settings.requests : static_cast<std::uint64_t>(settings.duration_us / 1000),
      by_count ? ProgressBar::Unit::count : ProgressBar::Unit::milliseconds);
  return {batch_size, run_load(target, plan, [&bar](std::uint64_t done) { bar.update(done); })};
}

int bench(const BenchSettings& settings, const ServerAddress& address) {
  const LoadTargetOptions options{.address = address,
                                  .model = settings.model,
                                  .api_key = settings.api_key,
                                  .timeout_us = settings.timeout_us};
  const auto target = settings.grpc ? make_grpc_target(options) : make_http_target(options);
  auto texts = settings.texts_file.empty()
                   ? texts_of_length(*target, settings.prompt_length, settings.seed)
                   : BenchTexts::of_file(settings.texts_file);
  if (!texts.ok()) return fail("bench", texts.error());

  std::vector<BenchStep> steps;
  bool failed = false;
  for (std::uint32_t batch_size : settings.batch_sizes) {
    steps.push_back(run_step(*target, *texts, settings, batch_size));
    failed = failed || steps.back().result.errors > 0;
    if (steps.back().result.ended_by_signal) break;
  }
  const BenchSetup setup{.server = address.text(),
                         .protocol = settings.grpc ? "grpc" : "http",
                         .model = settings.model,
                         .concurrency = settings.concurrency,
                         .rate = settings.rate};
  fmt::print("{}", settings.json ? bench_json(setup, steps) : bench_table(setup, steps));
  if (steps.back().result.ended_by_signal) return kExitInterrupted;
  return failed ? kExitFailed : kExitOk;
}

}  // namespace

int bench_command(Arguments arguments) {
  if (!arguments.empty() && arguments.front() == "slices")
    return bench_slices_command(arguments.subspan(1));
  BenchSettings settings;
  FlagSet flags = flags_for(settings);
  if (const auto done = take_client_flags("bench", flags, arguments, [&] { return check(flags); }))
    return *done;
  const auto address = parse_server_address(settings.server, settings.grpc ? 50050 : 8080);
  if (!address.ok()) return fail("bench", address.error(), kExitUsage);
  return bench(settings, *address);
}

}  // namespace sheaf::cli
