#include "slices/lease_choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>

#include "slices/gpu_place.h"

namespace sheaf::slices {
namespace {

constexpr std::string_view kCores = "cores:";
constexpr std::size_t kReasonsMax = 3;

// A slice that suffices, and whether something runs there that no lease tells of.
struct Candidate {
  LeasedSlice slice;
  bool in_use = false;
};

LeasedSlice slice_of_cores(std::vector<int> cpus) {
  std::ranges::sort(cpus);
  const std::string name = std::string(kCores) + format_cpu_list(cpus);
  return {.kind = "cores", .id = name, .text = name, .cpus = std::move(cpus)};
}

Candidate candidate_of(const GpuPlace& place) {
  const bool in_use = std::ranges::any_of(place.gpu->processes, [&](const GpuProcess& process) {
    return process.kind == Nvml::ProcessKind::compute && place.runs(process);
  });
  return {{.kind = place.is_mig() ? "mig" : "gpu",
           .id = place.uuid(),
           .text = place.text(),
           .gpu_uuid = place.gpu->uuid,
           .memory_bytes = place.memory_bytes()},
          in_use};
}

std::vector<int> usable_cpus(const Machine& machine) {
  std::vector<int> cpus;
  for (const Core& core : machine.cores) cpus.push_back(core.cpu);
  return cpus;
}

Error no_such(std::string message) { return {ErrorCode::not_found, std::move(message)}; }

Result<std::vector<Candidate>> named_place(const std::string& word, const LeaseGround& ground) {
  SHEAF_ASSIGN(const GpuPlace place, find_place(ground.gpus, word));
  SHEAF_TRY(refuse_cut_card(place));
  if (!place.visible()) return no_such(fmt::format("{} is outside CUDA_VISIBLE_DEVICES", word));
  Candidate named = candidate_of(place);
  named.in_use = false;  // who names it knows what runs there
  return std::vector<Candidate>{std::move(named)};
}

// "1g.5gb.me" is how Kubernetes writes it.
bool has_profile(const GpuPlace& place, std::string wanted) {
  if (!place.is_mig()) return false;
  if (const std::size_t media = wanted.find(".me"); media != std::string::npos) wanted[media] = '+';
  return place.compute->name == wanted;
}

std::string offers_of(const std::vector<GpuPlace>& places) {
  std::map<std::string, int> counts;
  for (const GpuPlace& place : places)
    ++counts[place.is_mig() ? place.compute->name : "whole card"];
  std::string text;
  for (const auto& [name, count] : counts)
    text += fmt::format("{}{} × {}", text.empty() ? "" : ", ", count, name);
  return text.empty() ? "none at all" : text;
}

// Smallest first, else in the machine's order.
Result<std::vector<Candidate>> sufficient_places(const LeaseNeed& need, const LeaseGround& ground) {
  std::vector<GpuPlace> places = usable_places(ground.gpus);
  std::erase_if(places,
                [](const GpuPlace& place) { return !place.visible() || place.uuid().empty(); });
  std::vector<Candidate> found;
  for (const GpuPlace& place : places) {
    const bool kind_fits = need.kind.empty() || (need.kind == "mig") == place.is_mig();
    const bool profile_fits = need.profile.empty() || has_profile(place, need.profile);
    if (kind_fits && profile_fits && place.memory_bytes() >= need.memory_bytes)
      found.push_back(candidate_of(place));
  }
  if (found.empty())
    return no_such(fmt::format("this machine has nothing like {}, free or not; it has {}",
                               describe(need), offers_of(places)));
  std::ranges::stable_sort(found, {}, [](const Candidate& c) { return c.slice.memory_bytes; });
  return found;
}

// All that could serve the need: of cores by number, the cores to choose from as one.
Result<std::vector<Candidate>> candidates(const LeaseNeed& need, const LeaseGround& ground) {
  if (need.slice.starts_with(kCores)) {
    SHEAF_ASSIGN(LeasedSlice cores, named_cores(need.slice, ground.machine));
    return std::vector<Candidate>{{std::move(cores)}};
  }
  if (!need.slice.empty()) return named_place(need.slice, ground);
  if (need.kind != "cores") return sufficient_places(need, ground);
  if (need.cores > ground.machine.cores.size())
    return no_such(fmt::format("{} cores are wanted, and {} may be used here", need.cores,
                               ground.machine.cores.size()));
  return std::vector<Candidate>{{slice_of_cores(usable_cpus(ground.machine))}};
}

// What those could take who came earlier.
std::vector<LeasedSlice> reserved_slices(const LeaseGround& ground, const LeaseTable& table,
                                         std::size_t waiting_before) {
  std::vector<LeasedSlice> reserved;
  for (std::size_t i = 0; i < waiting_before; ++i) {
    const auto wanted = candidates(table.waiting[i].need, ground);
    if (!wanted.ok()) continue;  // it is refused when it asks again
    for (const Candidate& one : *wanted) reserved.push_back(one.slice);
  }
  return reserved;
}

// In the machine's order, of one memory domain if one has enough: of those the fullest.
std::optional<LeasedSlice> pick_cores(const Machine& machine, unsigned count,
                                      const std::vector<LeasedSlice>& taken) {
  std::vector<Core> free;
  for (const Core& core : machine.cores) {
    const LeasedSlice one = slice_of_cores({core.cpu});
    if (std::ranges::none_of(taken, [&](const LeasedSlice& t) { return overlap(t, one); }))
      free.push_back(core);
  }
  if (free.size() < count) return std::nullopt;
  std::map<int, std::size_t> by_node;
  for (const Core& core : free) ++by_node[core.numa_node];
  std::optional<int> node;
  for (const auto& [number, size] : by_node)
    if (size >= count && (!node || size < by_node[*node])) node = number;
  std::vector<int> cpus;
  for (const Core& core : free)
    if (cpus.size() < count && (!node || core.numa_node == *node)) cpus.push_back(core.cpu);
  return slice_of_cores(std::move(cpus));
}

// Why the candidate cannot be had; empty: it can.
std::string obstacle(const Candidate& candidate, bool shared, const LeaseTable& table,
                     const std::vector<LeasedSlice>& reserved) {
  const std::string& text = candidate.slice.text;
  for (const Lease& lease : table.leases)
    if (excludes(lease, candidate.slice, shared))
      return fmt::format("{} is {}", lease.slice.text, describe(lease));
  for (const LeasedSlice& one : reserved)
    if (overlap(one, candidate.slice)) return fmt::format("others wait for {} already", text);
  return candidate.in_use ? fmt::format("something runs on {}", text) : "";
}

// The leases that exclude the candidate; none where one of them is not drainable, or others wait
// for it already.
std::vector<std::string> drainable_leases(const Candidate& candidate, bool shared,
                                          const LeaseTable& table,
                                          const std::vector<LeasedSlice>& reserved) {
  std::vector<std::string> ids;
  for (const LeasedSlice& one : reserved)
    if (overlap(one, candidate.slice)) return {};
  for (const Lease& lease : table.leases) {
    if (!excludes(lease, candidate.slice, shared)) continue;
    if (!lease.drainable) return {};
    ids.push_back(lease.id);
  }
  return ids;
}

LeaseChoice choose_cores(const LeaseNeed& need, const LeaseGround& ground, const LeaseTable& table,
                         std::vector<LeasedSlice> reserved) {
  const bool others_wait =
      std::ranges::any_of(reserved, [](const LeasedSlice& one) { return one.kind == "cores"; });
  for (const Lease& lease : table.leases)
    if (!need.shared || !lease.need.shared) reserved.push_back(lease.slice);
  if (auto picked = pick_cores(ground.machine, need.cores, reserved))
    return {std::move(picked), ""};
  return {std::nullopt,
          fmt::format("fewer than {} of the {} cores are free{}", need.cores,
                      ground.machine.cores.size(), others_wait ? ", or others wait for them" : "")};
}

}  // namespace

Result<LeasedSlice> named_cores(const std::string& name, const Machine& machine) {
  SHEAF_ASSIGN(const std::vector<int> cpus,
               parse_cpu_list(std::string_view(name).substr(kCores.size())));
  const std::vector<int> here = usable_cpus(machine);
  for (const int cpu : cpus)
    if (std::ranges::find(here, cpu) == here.end())
      return no_such(fmt::format("core {} of {} is none that may be used here; there are {}", cpu,
                                 name, slice_of_cores(here).id));
  return slice_of_cores(cpus);
}

bool needs_gpus(const LeaseNeed& need) {
  return need.kind != "cores" && !need.slice.starts_with(kCores);
}

Result<LeaseChoice> choose_slice(const LeaseNeed& need, const LeaseGround& ground,
                                 const LeaseTable& table, std::size_t waiting_before) {
  SHEAF_ASSIGN(const auto wanted, candidates(need, ground));
  std::vector<LeasedSlice> reserved = reserved_slices(ground, table, waiting_before);
  if (need.kind == "cores") return choose_cores(need, ground, table, std::move(reserved));
  std::string why;
  std::vector<std::string> drainable;
  std::size_t obstacles = 0;
  for (const Candidate& candidate : wanted) {
    const std::string one = obstacle(candidate, need.shared, table, reserved);
    if (one.empty()) return LeaseChoice{candidate.slice, ""};
    if (obstacles++ < kReasonsMax) why += (why.empty() ? "" : "; ") + one;
    if (drainable.empty()) drainable = drainable_leases(candidate, need.shared, table, reserved);
  }
  if (obstacles > kReasonsMax) why += fmt::format("; and {} more", obstacles - kReasonsMax);
  return LeaseChoice{std::nullopt, why, std::move(drainable)};
}

}  // namespace sheaf::slices
