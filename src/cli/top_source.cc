#include "cli/top_source.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <fstream>
#include <iterator>
#include <sstream>
#include <utility>

#include "base/clock.h"

namespace sheaf::cli {
namespace {

constexpr TimeUs kServerTimeoutUs = kSecond;

std::string text_of_file(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

slices::CoreTimes core_times_now() {
  auto times = slices::read_core_times();
  return times.ok() ? std::move(*times) : slices::CoreTimes();
}

}  // namespace

bool is_here(const ServerAddress& address) {
  return address.host == "localhost" || address.host == "::1" || address.host.starts_with("127.");
}

MachineMemory parse_meminfo(const std::string& text) {
  MachineMemory memory;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string name;
    std::uint64_t kib = 0;
    if (!(words >> name >> kib)) continue;
    if (name == "MemTotal:") memory.total_bytes = kib << 10;
    if (name == "MemAvailable:") memory.available_bytes = kib << 10;
  }
  return memory;
}

TopSource::TopSource(TopSourceOptions options, const slices::Machine& machine)
    : options_(std::move(options)),
      sampler_({.interval_us = options_.interval_us}),
      connection_(io_.get_executor(), options_.server, options_.api_key, kServerTimeoutUs) {
  for (const slices::Core& core : machine.cores) input_.cpus.push_back(core.cpu);
  input_.server_is_here = is_here(options_.server);
}

Result<std::unique_ptr<TopSource>> TopSource::create(TopSourceOptions options) {
  SHEAF_ASSIGN(const slices::Machine machine, slices::detect_machine());
  return std::unique_ptr<TopSource>(new TopSource(std::move(options), machine));
}

Result<FleetReport> TopSource::ask_server() {
  std::optional<Result<HttpAnswer>> said;
  boost::asio::co_spawn(
      io_, [&]() -> boost::asio::awaitable<void> { said = co_await connection_.get("/v1/fleet"); },
      boost::asio::detached);
  io_.restart();
  io_.run();
  if (!said->ok()) return said->error();
  if ((*said)->status != 200) return error_of(**said);
  return parse_fleet_report((*said)->body);
}

TopReport TopSource::look() {
  auto fleet = ask_server();
  input_.fleet_before = std::exchange(input_.fleet, std::nullopt);
  if (fleet.ok()) input_.fleet = std::move(*fleet);
  input_.cores_before = std::exchange(input_.cores_after, core_times_now());
  input_.cards = sampler_.samples();
  TopReport report = join(input_);
  report.unix_s = unix_seconds();
  report.server = options_.server.text();
  if (!input_.fleet) report.server_silent = fleet.error().message;
  report.gpus = sampler_.status();
  const MachineMemory memory = parse_meminfo(text_of_file("/proc/meminfo"));
  report.memory_bytes = memory.total_bytes;
  report.memory_used_bytes =
      memory.total_bytes - std::min(memory.available_bytes, memory.total_bytes);
  return report;
}

bool TopSource::wait_for_cards(unsigned readings, TimeUs timeout_us) const {
  return sampler_.wait_for_readings(readings, timeout_us);
}

}  // namespace sheaf::cli
