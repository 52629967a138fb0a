#include "cli/top_report.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

#include "slices/slice.h"

namespace sheaf::cli {
namespace {

using slices::LoadSource;
using slices::SliceSample;

constexpr std::string_view kCores = "cores:";

// Builds the report slice by slice.
class Joiner {
 public:
  explicit Joiner(const TopInput& input) : input_(input) {
    report_.of_this_machine = input.server_is_here;
    report_.cores = input.cpus.size();
    report_.cores_load = slices::load_between(input.cores_before, input.cores_after, input.cpus);
  }

  TopReport join() {
    add_cards();
    if (input_.fleet) add_fleet(*input_.fleet);
    if (input_.server_is_here) add_other_cores();
    add_processes();
    return std::move(report_);
  }

 private:
  void add_cards() {
    static const std::vector<SliceSample> kNone;
    const auto& told = input_.fleet ? input_.fleet->slices : kNone;
    for (const SliceSample& card : input_.server_is_here ? input_.cards : told) {
      report_.slices.push_back({card, {}});
      take_from_server(told, report_.slices.back().sample);
    }
  }

  // How long replicas computed on a slice, and what is not used any more, their server alone knows.
  static void take_from_server(const std::vector<SliceSample>& told, SliceSample& sample) {
    const auto same = std::ranges::find_if(told, [&](const SliceSample& one) {
      return one.slice == sample.slice && one.uuid == sample.uuid;
    });
    if (same == told.end()) return;
    sample.out_of_use = same->out_of_use;
    if (sample.load || !same->is_fresh()) return;
    sample.load = same->load;
    sample.load_source = same->load_source;
  }

  void add_fleet(const FleetReport& fleet) {
    report_.ready = fleet.ready;
    report_.open_requests = fleet.open_requests;
    for (const ModelReport& model : fleet.models)
      report_.models.push_back({.name = model.name, .queue_tokens = model.queue_tokens});
    for (const ReplicaReport& replica : fleet.replicas) add_replica(fleet, replica);
  }

  void add_replica(const FleetReport& fleet, const ReplicaReport& replica) {
    TopTenant tenant{.name = replica.name,
                     .model = replica.model.empty() ? "?" : replica.model,
                     .state = replica.state,
                     .processes = replica.processes,
                     .tokens_in_flight = replica.tokens_in_flight,
                     .restarts = replica.restarts};
    if (input_.fleet_before) tenant.rate = rate_of(*input_.fleet_before, fleet, replica);
    count_for_model(tenant);
    bool known = false;
    for (TopSlice& slice : report_.slices)
      if (slices::is_slice_of(replica.slice, slice.sample.slice)) {
        add_tenant(tenant, slice);
        known = true;
      }
    if (!known)
      add_tenant(tenant,
                 input_.server_is_here ? add_cores(replica.slice) : add_slice(replica.slice));
  }

  static void add_tenant(const TopTenant& tenant, TopSlice& slice) {
    const auto memory = tenant.memory_bytes();
    if (slice.sample.slice.starts_with(kCores) && memory)
      slice.sample.memory_used_bytes = slice.sample.memory_used_bytes.value_or(0) + *memory;
    if (tenant.rate && !is_read(slice)) {
      slice.sample.load = std::min(1.0, slice.sample.load.value_or(0) + tenant.rate->busy);
      slice.sample.load_source = LoadSource::busy_time;
    }
    slice.tenants.push_back(tenant);
  }

  void count_for_model(const TopTenant& tenant) {
    auto model = std::ranges::find(report_.models, tenant.model, &TopModel::name);
    if (model == report_.models.end())
      model = report_.models.insert(model, TopModel{.name = tenant.model});
    ++model->replicas;
    if (tenant.state == "ready") ++model->replicas_ready;
    if (tenant.rate)
      model->tokens_per_s = model->tokens_per_s.value_or(0) + tenant.rate->tokens_per_s;
  }

  // That somebody but the replicas tells the load of: of cards NVML, of cores here the kernel.
  static bool is_read(const TopSlice& slice) {
    return slice.sample.load && slice.sample.load_source != LoadSource::busy_time;
  }

  TopSlice& add_slice(const std::string& name) {
    TopSlice& slice = report_.slices.emplace_back();
    slice.sample.slice = name;
    return slice;
  }

  TopSlice& add_cores(const std::string& name) {
    TopSlice& slice = add_slice(name);
    const std::vector<int> cpus = cpus_of_slice(name);
    taken_.insert(cpus.begin(), cpus.end());
    slice.sample.load = slices::load_between(input_.cores_before, input_.cores_after, cpus);
    if (slice.sample.load) slice.sample.load_source = LoadSource::kernel;
    return slice;
  }

  void add_other_cores() {
    std::vector<int> others;
    for (const int cpu : input_.cpus)
      if (!taken_.contains(cpu)) others.push_back(cpu);
    std::ranges::sort(others);
    if (!others.empty()) add_cores(std::string(kCores) + slices::format_cpu_list(others));
  }

  // Of cards, that are no replicas.
  void add_processes() {
    std::set<int> ours;
    if (input_.fleet)
      for (const ReplicaReport& replica : input_.fleet->replicas)
        for (const ProcessReport& process : replica.processes) ours.insert(process.pid);
    for (TopSlice& slice : report_.slices)
      for (const slices::GpuProcess& process : slice.sample.processes) {
        const int pid = static_cast<int>(process.pid);
        if (!ours.contains(pid))
          slice.tenants.push_back({.name = process.name, .processes = {{pid, process.bytes}}});
      }
  }

  const TopInput& input_;
  TopReport report_;
  std::set<int> taken_;  // cores that replicas have
};

}  // namespace

std::optional<std::uint64_t> TopTenant::memory_bytes() const {
  std::optional<std::uint64_t> sum;
  for (const ProcessReport& process : processes)
    if (process.memory_bytes) sum = sum.value_or(0) + *process.memory_bytes;
  return sum;
}

TopReport join(const TopInput& input) { return Joiner(input).join(); }

std::vector<int> cpus_of_slice(std::string_view slice) {
  if (!slice.starts_with(kCores)) return {};
  auto cpus = slices::parse_cpu_list(slice.substr(kCores.size()));
  return cpus.ok() ? std::move(cpus).value() : std::vector<int>();
}

}  // namespace sheaf::cli
