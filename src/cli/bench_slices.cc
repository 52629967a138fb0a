#include "cli/bench_slices.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/bench_requests.h"
#include "cli/child_process.h"
#include "cli/client_flags.h"
#include "cli/flag_set.h"
#include "cli/load.h"
#include "cli/progress_bar.h"
#include "cli/slices.h"
#include "cli/table.h"
#include "slices/gpu_place.h"
#include "slices/slice.h"

namespace sheaf::cli {
namespace {

constexpr TimeUs kRequestTimeoutUs = 60'000'000;
// More slices than that of one machine's cores would be smaller than any model deserves.
constexpr std::size_t kCoreSlicesMax = 8;

struct BenchSlicesSettings {
  std::vector<std::string> models;
  std::vector<std::string> slices;
  std::string whole;
  std::vector<std::uint32_t> concurrency = {1, 4, 16};
  std::uint32_t prompt_length = 50;
  std::string dtype = "auto";
  TimeUs duration_us = 5'000'000;
  TimeUs warmup_us = 1'000'000;
  std::uint64_t seed = 1;
  bool json = false;
};

FlagSet flags_for(BenchSlicesSettings& s) {
  FlagSet flags("sheaf bench slices MODEL [flags]",
                "What cutting this machine costs or gains: one replica on one slice,\n"
                "one on each slice, and one on the whole device, each measured with few\n"
                "and with many requests of one text under way.");
  flags.add_positional("MODEL", s.models);
  flags.add({"slices", "ID,ID", "the cut, as `sheaf serve` takes it", "", "a core each"},
            text_list(s.slices));
  flags.add({"whole", "ID", "the device that it was cut from", "", "all those cores"},
            text(s.whole));
  flags.add({"concurrency", "N,N", "requests under way, a step each"},
            number_list(s.concurrency, 1, 1u << 12));
  flags.add({"prompt-length", "N", "tokens a text"}, whole_number(s.prompt_length, 3, 1u << 20));
  flags.add({"dtype", "T", "as `sheaf serve` takes it"}, text(s.dtype));
  flags.add({"duration", "T", "of a step"}, duration(s.duration_us));
  flags.add({"warmup", "T", "before a step, not counted"}, duration(s.warmup_us));
  flags.add({"seed", "N", "of the texts made"}, whole_number(s.seed, 0, ~0ull));
  flags.add({"json", "", "print one JSON object"}, boolean(s.json));
  flags.set_epilogue(
      "Servers are started for it, on ports that the system chooses, one after the\n"
      "other. A card that is cut has no whole: leave --whole out there.\n"
      "exit codes: 0 done, 1 a request failed, 2 wrong usage\n"
      "example: sheaf bench slices sentence-transformers/all-MiniLM-L6-v2\n");
  return flags;
}

// One way to use the device.
struct Arrangement {
  std::string name;
  std::vector<std::string> slices;  // a replica each
  double share = 1;                 // of the device, that each of them is
};

// A cut card's name would mean all its slices.
Status check_whole(const std::string& whole) {
  if (whole.empty() || whole.starts_with("cores:")) return {};
  SHEAF_ASSIGN(const SlicesHere here, look_at_slices());
  SHEAF_ASSIGN(const slices::GpuPlace place, slices::find_place(here.gpus.gpus, whole));
  return slices::refuse_cut_card(place);
}

Result<std::vector<Arrangement>> arrangements_of(BenchSlicesSettings settings) {
  if (settings.slices.empty()) {
    SHEAF_ASSIGN(const slices::Machine machine, slices::detect_machine());
    const std::size_t count = std::min(machine.cores.size(), kCoreSlicesMax);
    for (const slices::Slice& slice : cut_cores(machine, static_cast<std::uint32_t>(count)))
      settings.slices.push_back(slice.name);
    settings.whole = cut_cores(machine, 1).front().name;
  }
  const std::size_t count = settings.slices.size();
  if (count < 2)
    return Error{ErrorCode::invalid_argument,
                 fmt::format("{} is the only slice: there is nothing to compare it with",
                             settings.slices.front())};
  SHEAF_TRY(check_whole(settings.whole));
  const double share = 1.0 / static_cast<double>(count);
  std::vector<Arrangement> all = {
      {"1 replica on 1 slice", {settings.slices.front()}, share},
      {fmt::format("{0} replicas on {0} slices", count), settings.slices, share}};
  if (!settings.whole.empty()) all.push_back({"1 replica on the whole", {settings.whole}, 1});
  return all;
}

// A server of our own, on any port of the loopback; killed when destroyed.
class BenchServer {
 public:
  static Result<BenchServer> start(const BenchSlicesSettings& settings,
                                   const Arrangement& arrangement) {
    char program[4096];
    const ssize_t length = ::readlink("/proc/self/exe", program, sizeof program);
    if (length < 0) return errno_error("/proc/self/exe", errno);
    SHEAF_ASSIGN(
        ChildProcess process,
        ChildProcess::start({std::string(program, static_cast<std::size_t>(length)), "serve",
                             settings.models.front(), "--port", "0", "--grpc-port", "0", "--host",
                             "127.0.0.1", "--dtype", settings.dtype, "--log-level", "warn",
                             "--num-replicas", std::to_string(arrangement.slices.size()),
                             "--slices", fmt::format("{}", fmt::join(arrangement.slices, ","))}));
    const auto said =
        nlohmann::json::parse(first_line(process.output()), nullptr, /*allow_exceptions=*/false);
    if (!said.is_object() || !said.contains("http"))
      return Error{ErrorCode::unavailable,
                   fmt::format("{}: the server did not start", arrangement.name)};
    SHEAF_ASSIGN(ServerAddress address,
                 parse_server_address(said["http"].get<std::string>(), 8080));
    return BenchServer(std::move(process), std::move(address));
  }

  const ServerAddress& address() const { return address_; }

  // Compute time of all replicas so far.
  Result<TimeUs> busy_us() const {
    SHEAF_ASSIGN(const HttpAnswer said, get_once(address_, "", kRequestTimeoutUs, "/v1/fleet"));
    if (said.status != 200) return error_of(said);
    TimeUs busy_us = 0;
    const auto fleet = nlohmann::json::parse(said.body);
    for (const auto& replica : fleet["replicas"]) busy_us += replica["busy_us"].get<TimeUs>();
    return busy_us;
  }

 private:
  BenchServer(ChildProcess process, ServerAddress address)
      : process_(std::move(process)), address_(std::move(address)) {}

  static std::string first_line(int fd) {
    std::string line;
    for (char c = 0; ::read(fd, &c, 1) == 1 && c != '\n';) line.push_back(c);
    return line;
  }

  ChildProcess process_;
  ServerAddress address_;
};

struct SliceStep {
  std::string arrangement;
  std::uint32_t concurrency = 0;
  double busy = 0;  // share of the device that computed
  LoadResult load;
};

Result<SliceStep> run_step(const BenchServer& server, LoadTarget& target,
                           const BenchSlicesSettings& settings, const Arrangement& arrangement,
                           std::uint32_t concurrency) {
  ProgressBar bar(fmt::format("{}, {} under way", arrangement.name, concurrency),
                  static_cast<std::uint64_t>(settings.duration_us / 1000),
                  ProgressBar::Unit::milliseconds);
  SHEAF_ASSIGN(const TimeUs busy_before, server.busy_us());
  const TimeUs begin_us = monotonic_us();
  LoadResult load = run_load(
      target,
      {.lanes = concurrency, .warmup_us = settings.warmup_us, .duration_us = settings.duration_us},
      [&bar](std::uint64_t done) { bar.update(done); });
  const TimeUs took_us = std::max<TimeUs>(monotonic_us() - begin_us, 1);
  SHEAF_ASSIGN(const TimeUs busy_after, server.busy_us());
  const double busy = arrangement.share * static_cast<double>(busy_after - busy_before) /
                      static_cast<double>(took_us);
  return SliceStep{arrangement.name, concurrency, busy, std::move(load)};
}

Status run_arrangement(const BenchSlicesSettings& settings, const Arrangement& arrangement,
                       std::vector<SliceStep>& steps) {
  SHEAF_ASSIGN(const BenchServer server, BenchServer::start(settings, arrangement));
  const auto target =
      make_http_target({.address = server.address(), .timeout_us = kRequestTimeoutUs});
  SHEAF_ASSIGN(BenchTexts texts, texts_of_length(*target, settings.prompt_length, settings.seed));
  prepare_requests(*target, texts, requests_to_prepare(1), 1);
  for (const std::uint32_t concurrency : settings.concurrency) {
    SHEAF_ASSIGN(SliceStep step, run_step(server, *target, settings, arrangement, concurrency));
    steps.push_back(std::move(step));
  }
  return {};
}

double per_second(const SliceStep& step, std::uint64_t count) {
  return step.load.seconds > 0 ? static_cast<double>(count) / step.load.seconds : 0;
}

std::string table_of(const std::vector<SliceStep>& steps) {
  Table table({{"", true}, {"open"}, {"p50"}, {"p99"}, {"req/s"}, {"tok/s"}, {"busy"}, {"errors"}});
  for (const SliceStep& step : steps)
    table.add_row({step.arrangement, std::to_string(step.concurrency),
                   human_duration(quantile(step.load.latencies_us, 0.5)),
                   human_duration(quantile(step.load.latencies_us, 0.99)),
                   fmt::format("{:.1f}", per_second(step, step.load.answered)),
                   human_count(per_second(step, step.load.tokens)),
                   fmt::format("{:.0f}%", 100 * step.busy), std::to_string(step.load.errors)});
  return table.render() +
         "open: requests under way\nbusy: share of the whole device's time in which it computed\n";
}

std::string json_of(const BenchSlicesSettings& settings, const std::vector<SliceStep>& steps) {
  nlohmann::ordered_json json = {{"model", settings.models.front()},
                                 {"dtype", settings.dtype},
                                 {"prompt_length", settings.prompt_length},
                                 {"steps", nlohmann::ordered_json::array()}};
  for (const SliceStep& step : steps)
    json["steps"].push_back({{"arrangement", step.arrangement},
                             {"concurrency", step.concurrency},
                             {"p50_ms", quantile(step.load.latencies_us, 0.5) / 1e3},
                             {"p99_ms", quantile(step.load.latencies_us, 0.99) / 1e3},
                             {"requests_per_s", per_second(step, step.load.answered)},
                             {"tokens_per_s", per_second(step, step.load.tokens)},
                             {"busy", step.busy},
                             {"errors", step.load.errors}});
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

Status check(const BenchSlicesSettings& settings) {
  if (settings.models.size() != 1)
    return Error{ErrorCode::invalid_argument, "name one model: sheaf bench slices MODEL"};
  if (settings.slices.empty() && !settings.whole.empty())
    return Error{ErrorCode::invalid_argument, "--whole belongs to --slices, which name its parts"};
  return {};
}

}  // namespace

int bench_slices_command(Arguments arguments) {
  BenchSlicesSettings settings;
  FlagSet flags = flags_for(settings);
  if (const auto done =
          take_client_flags("bench slices", flags, arguments, [&] { return check(settings); }))
    return *done;
  const auto arrangements = arrangements_of(settings);
  if (!arrangements.ok()) return fail("bench slices", arrangements.error(), kExitUsage);
  std::vector<SliceStep> steps;
  for (const Arrangement& arrangement : *arrangements)
    if (const Status done = run_arrangement(settings, arrangement, steps); !done.ok())
      return fail("bench slices", done.error());
  fmt::print("{}", settings.json ? json_of(settings, steps) : table_of(steps));
  const bool failed = std::ranges::any_of(steps, [](const auto& s) { return s.load.errors > 0; });
  return failed ? kExitFailed : kExitOk;
}

}  // namespace sheaf::cli
