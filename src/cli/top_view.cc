#include "cli/top_view.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <string_view>
#include <utility>
#include <vector>

#include "base/text.h"
#include "cli/table.h"
#include "slices/sample_json.h"

namespace sheaf::cli {
namespace {

using nlohmann::ordered_json;
using slices::LoadSource;
using slices::SliceSample;

constexpr TimeUs kSilentUs = 2 * kSecond;  // shorter is no news
constexpr double kTebi = 1024.0 * 1024 * 1024 * 1024;
constexpr std::size_t kSliceColumns = 14, kModelColumns = 24;
constexpr std::size_t kWideColumns = 100;  // from here on there is room for clocks

std::string seconds_text(TimeUs us) {
  return fmt::format("{:.0f} s", static_cast<double>(us) / double{kSecond});
}

std::string percent(std::optional<double> part) {
  return part ? fmt::format("{:.0f} %", *part * 100) : "";
}

double bytes_of(std::uint64_t bytes) { return static_cast<double>(bytes); }

// "5.1/15.6 GiB", in the unit of all.
std::string memory_text(std::optional<std::uint64_t> used, std::optional<std::uint64_t> all) {
  if (!used || !all) return used || all ? human_bytes(bytes_of(used ? *used : *all)) : "";
  const std::string whole = human_bytes(bytes_of(*all));
  double unit = 1;
  while (bytes_of(*all) / unit >= 1024 && unit < kTebi) unit *= 1024;
  return fmt::format("{:.1f}/{}", bytes_of(*used) / unit, whole);
}

int first_pid(const TopTenant& tenant) {
  return tenant.processes.empty() ? 0 : tenant.processes.front().pid;
}

// --- above the table ---

std::string machine_line(const TopReport& report) {
  std::string line = fmt::format("sheaf top  {:%H:%M:%S}", fmt::localtime(report.unix_s));
  if (!report.of_this_machine) return line + "  the machine of " + report.server;
  line += fmt::format("  {} cores", report.cores);
  if (report.cores_load) line += fmt::format(" {} busy", percent(report.cores_load));
  if (report.memory_bytes > 0)
    line += "  memory " + memory_text(report.memory_used_bytes, report.memory_bytes);
  if (!report.gpus.ok()) line += "  no GPU";
  return line;
}

std::string server_line(const TopReport& report) {
  if (!report.server_silent.empty()) return "no server: " + report.server_silent;
  return fmt::format("server {} {}, open requests {}", report.server,
                     report.ready ? "is ready" : "is not ready", report.open_requests);
}

std::string model_line(const TopModel& model) {
  std::string line = fmt::format("  {}: {} of {} replicas ready, ",
                                 one_line(short_name(model.name), kModelColumns),
                                 model.replicas_ready, model.replicas);
  if (model.tokens_per_s) line += human_count(*model.tokens_per_s) + " tokens/s, ";
  return line + human_count(static_cast<double>(model.queue_tokens)) + " tokens waiting";
}

std::string xids_text(const SliceSample& sample) {
  std::string text;
  for (const auto& [number, count] : sample.xids)
    text += fmt::format("{}{}{}", text.empty() ? "" : ", ", number,
                        count > 1 ? fmt::format(" ({} times)", count) : "");
  return text;
}

// What is wrong with cards, a line each. A machine without NVIDIA's driver is well.
std::vector<std::string> trouble_of(const TopReport& report) {
  std::vector<std::string> lines;
  if (report.of_this_machine && !report.gpus.ok() &&
      report.gpus.error().code != ErrorCode::not_found)
    lines.push_back("! " + report.gpus.error().message);
  for (const TopSlice& slice : report.slices) {
    const SliceSample& sample = slice.sample;
    if (sample.gpu_instance) continue;  // the card says it
    if (sample.silent_us >= kSilentUs)
      lines.push_back(fmt::format("! {} has not answered for {}", sample.slice,
                                  seconds_text(sample.silent_us)));
    if (!sample.error.empty()) lines.push_back(fmt::format("! {}: {}", sample.slice, sample.error));
    if (!sample.out_of_use.empty())
      lines.push_back(
          fmt::format("! {} is {}: no replica is put there", sample.slice, sample.out_of_use));
    if (!sample.xids.empty())
      lines.push_back(fmt::format("! {}: Xid {}", sample.slice, xids_text(sample)));
  }
  return lines;
}

// --- the table ---

struct TopColumns {
  bool of_cards = false;  // temperature and power
  bool clocks = false;
  bool rates = false;  // of replicas
};

std::string load_text(const SliceSample& sample) {
  if (!sample.load) return "";
  switch (sample.load_source) {
    case LoadSource::gpm:
      return percent(sample.load) + " gpm";
    case LoadSource::nvml:
      return percent(sample.load) + " nvml";
    case LoadSource::kernel:
      return percent(sample.load) + " cpu";
    case LoadSource::busy_time:
      return percent(sample.load) + " busy";
    case LoadSource::none:
      break;
  }
  return "";
}

std::string tenant_text(const TopTenant& tenant) {
  if (!tenant.is_replica())
    return fmt::format("{} {}, {}", tenant.name.empty() ? "process" : tenant.name,
                       first_pid(tenant), human_bytes(bytes_of(tenant.memory_bytes().value_or(0))));
  std::string text = fmt::format("{} #{}", short_name(tenant.model), tenant.name);
  if (tenant.state != "ready") text += " " + tenant.state;
  if (tenant.processes.size() > 1) text += fmt::format(", {} processes", tenant.processes.size());
  if (tenant.restarts > 0) text += fmt::format(", restarts {}", tenant.restarts);
  return text;
}

std::string idle_text(const SliceSample& sample) {
  if (sample.cut) return "cut into MIG devices";
  // "NVIDIA A100-SXM4-40GB MIG 3g.20gb": the card's row has the rest.
  const std::size_t profile = sample.name.rfind(" MIG ");
  return profile == std::string::npos ? sample.name : sample.name.substr(profile + 1);
}

// The slice's own cells, or blanks under them.
std::vector<std::string> cells_of(const SliceSample* sample, const TopColumns& columns) {
  const auto number = [](const std::optional<unsigned>& value, unsigned unit) {
    return value ? std::to_string(*value / unit) : "";
  };
  std::vector<std::string> cells;
  cells.push_back(sample ? one_line(sample->slice, kSliceColumns) : "");
  cells.push_back(sample ? load_text(*sample) : "");
  cells.push_back(sample ? memory_text(sample->memory_used_bytes, sample->memory_bytes) : "");
  if (columns.of_cards) {
    cells.push_back(sample ? number(sample->temperature_c, 1) : "");
    cells.push_back(sample ? number(sample->power_mw, 1000) : "");
  }
  if (columns.clocks) cells.push_back(sample ? number(sample->sm_clock_mhz, 1) : "");
  return cells;
}

void add_rows(const TopSlice& slice, const TopColumns& columns, Table& table) {
  const SliceSample* sample = &slice.sample;
  const auto add = [&](const std::string& rate, const std::string& text) {
    std::vector<std::string> cells = cells_of(std::exchange(sample, nullptr), columns);
    if (columns.rates) cells.push_back(rate);
    cells.push_back(one_line(text, kWideColumns));
    table.add_row(std::move(cells));
  };
  for (const TopTenant& tenant : slice.tenants)
    add(tenant.rate ? human_count(tenant.rate->tokens_per_s) : "", tenant_text(tenant));
  if (slice.tenants.empty()) add("", idle_text(slice.sample));
}

bool is_card(const TopSlice& slice) { return slice.sample.temperature_c || slice.sample.power_mw; }

std::string table_of(const TopReport& report, std::size_t columns) {
  const bool cards = std::ranges::any_of(report.slices, is_card);
  const TopColumns shown{.of_cards = cards,
                         .clocks = cards && columns >= kWideColumns,
                         .rates = !report.models.empty()};
  std::vector<Table::Column> titles = {{"SLICE"}, {"LOAD"}, {"MEMORY"}};
  if (shown.of_cards) titles.insert(titles.end(), {{"°C"}, {"W"}});
  if (shown.clocks) titles.push_back({"MHZ"});
  if (shown.rates) titles.push_back({"TOKENS/S"});
  titles.push_back({"RUNS", true});
  Table table(std::move(titles));
  for (const TopSlice& slice : report.slices) add_rows(slice, shown, table);
  return table.render();
}

void append_lines(const std::string& text, std::vector<std::string>& lines) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
}

// --- for programs ---

template <class Value>
ordered_json value_or_null(const std::optional<Value>& value) {
  return value ? ordered_json(*value) : ordered_json();
}

ordered_json facts_of_replica(const TopTenant& tenant) {
  auto processes = ordered_json::array();
  for (const ProcessReport& process : tenant.processes)
    processes.push_back(
        {{"pid", process.pid}, {"memory_bytes", value_or_null(process.memory_bytes)}});
  return {{"name", tenant.name},
          {"model", tenant.model},
          {"state", tenant.state},
          {"pid", first_pid(tenant)},
          {"processes", processes},
          {"memory_bytes", value_or_null(tenant.memory_bytes())},
          {"tokens_per_s", tenant.rate ? ordered_json(tenant.rate->tokens_per_s) : ordered_json()},
          {"busy", tenant.rate ? ordered_json(tenant.rate->busy) : ordered_json()},
          {"tokens_in_flight", tenant.tokens_in_flight},
          {"restarts", tenant.restarts}};
}

ordered_json facts_of_slice(const TopSlice& slice) {
  ordered_json facts = facts_of(slice.sample);
  auto replicas = ordered_json::array();
  auto others = ordered_json::array();
  for (const TopTenant& tenant : slice.tenants)
    if (tenant.is_replica())
      replicas.push_back(facts_of_replica(tenant));
    else
      others.push_back({{"pid", first_pid(tenant)},
                        {"name", tenant.name},
                        {"memory_bytes", value_or_null(tenant.memory_bytes())}});
  facts["replicas"] = std::move(replicas);
  facts["processes"] = std::move(others);  // without the replicas
  return facts;
}

ordered_json facts_of_server(const TopReport& report) {
  const bool answers = report.server_silent.empty();
  auto models = ordered_json::array();
  for (const TopModel& model : report.models)
    models.push_back({{"name", model.name},
                      {"replicas", model.replicas},
                      {"replicas_ready", model.replicas_ready},
                      {"tokens_per_s", value_or_null(model.tokens_per_s)},
                      {"queue_tokens", model.queue_tokens}});
  return {{"address", report.server},
          {"answers", answers},
          {"silent_because", report.server_silent},
          {"ready", report.ready},
          {"open_requests", report.open_requests},
          {"models", models}};
}

}  // namespace

std::string text_of(const TopReport& report, std::size_t columns, std::size_t rows) {
  std::vector<std::string> lines = {machine_line(report), server_line(report)};
  for (const TopModel& model : report.models) lines.push_back(model_line(model));
  for (std::string& line : trouble_of(report)) lines.push_back(std::move(line));
  append_lines(table_of(report, columns), lines);
  const std::size_t shown =
      lines.size() <= rows ? lines.size() : std::max<std::size_t>(rows, 1) - 1;
  std::string out;
  for (std::size_t i = 0; i < shown; ++i) out += one_line(lines[i], columns) + "\n";
  if (shown < lines.size())
    out += one_line(fmt::format("… {} more lines", lines.size() - shown), columns) + "\n";
  return out;
}

ordered_json facts_of(const TopReport& report) {
  auto list = ordered_json::array();
  for (const TopSlice& slice : report.slices) list.push_back(facts_of_slice(slice));
  return {{"time", report.unix_s},
          {"of_this_machine", report.of_this_machine},
          {"machine",
           {{"cores", report.cores},
            {"load", value_or_null(report.cores_load)},
            {"memory_used_bytes", report.memory_used_bytes},
            {"memory_bytes", report.memory_bytes},
            {"no_gpus_because", report.gpus.ok() ? "" : report.gpus.error().message}}},
          {"server", facts_of_server(report)},
          {"slices", list}};
}

}  // namespace sheaf::cli
