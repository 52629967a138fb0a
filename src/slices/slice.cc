#include "slices/slice.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

namespace sheaf::slices {
namespace {

// The half-open range of part `index` when `total` things are cut into `parts` even parts.
struct Range {
  std::size_t begin, end;
};
Range part_of(std::size_t total, std::size_t parts, std::size_t index) {
  return {index * total / parts, (index + 1) * total / parts};
}

Slice make_slice(const Machine& machine, Range range) {
  Slice slice;
  slice.numa_node = machine.cores[range.begin].numa_node;
  for (std::size_t i = range.begin; i < range.end; ++i) slice.cpus.push_back(machine.cores[i].cpu);
  std::sort(slice.cpus.begin(), slice.cpus.end());
  slice.name = "cores:" + format_cpu_list(slice.cpus);
  const double share = machine.core_quota / static_cast<double>(machine.cores.size());
  const double threads = std::floor(share * static_cast<double>(slice.cpus.size()));
  slice.threads = std::clamp(static_cast<int>(threads), 1, static_cast<int>(slice.cpus.size()));
  return slice;
}

constexpr int kCpusMax = 1 << 16;

bool take_cpu(std::string_view& text, int& cpu) {
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), cpu);
  if (failure != std::errc() || cpu < 0 || cpu >= kCpusMax) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return true;
}

// "3" or "0-2" from the beginning of `text`.
bool take_cpus(std::string_view& text, std::set<int>& cpus) {
  int first = 0;
  if (!take_cpu(text, first)) return false;
  int last = first;
  if (text.starts_with('-')) {
    text.remove_prefix(1);
    if (!take_cpu(text, last) || last < first) return false;
  }
  for (int cpu = first; cpu <= last; ++cpu) cpus.insert(cpu);
  return true;
}

}  // namespace

std::string_view name_of(SliceKind kind) {
  switch (kind) {
    case SliceKind::cores:
      return "cores";
    case SliceKind::gpu:
      return "gpu";
    case SliceKind::mig:
      return "mig";
    case SliceKind::mps:
      return "mps";
    case SliceKind::time:
      return "time";
  }
  return "";
}

std::vector<Slice> cut_cores(const Machine& machine, std::uint32_t count) {
  const std::size_t cores = machine.cores.size();
  std::vector<Slice> slices;
  if (count <= cores) {
    for (std::size_t i = 0; i < count; ++i)
      slices.push_back(make_slice(machine, part_of(cores, count, i)));
    return slices;
  }
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t core = i % cores;
    slices.push_back(make_slice(machine, {core, core + 1}));
  }
  return slices;
}

std::vector<Slice> cut_slice(const Machine& machine, const Slice& slice, std::uint32_t count) {
  Machine part = machine;
  std::erase_if(part.cores, [&slice](const Core& core) {
    return std::ranges::find(slice.cpus, core.cpu) == slice.cpus.end();
  });
  part.core_quota = slice.threads;
  std::vector<Slice> parts = cut_cores(part, count);
  const auto least = std::ranges::min_element(parts, {}, &Slice::threads);
  const int threads = least == parts.end() ? 0 : least->threads;
  for (Slice& one : parts) one.threads = threads;
  return parts;
}

std::uint32_t default_replicas(const Machine& machine) {
  const auto granted = static_cast<int>(std::ceil(machine.core_quota));
  return static_cast<std::uint32_t>(std::max({1, machine.numa_nodes, granted / 8}));
}

std::string_view place_in(std::string_view slice) {
  const std::size_t colon = slice.find(':');
  const std::string_view place = colon == slice.npos ? slice : slice.substr(colon + 1);
  return place.substr(0, place.find('#'));
}

std::string format_cpu_list(const std::vector<int>& cpus) {
  std::string text;
  for (std::size_t i = 0; i < cpus.size();) {
    std::size_t last = i;
    while (last + 1 < cpus.size() && cpus[last + 1] == cpus[last] + 1) ++last;
    if (!text.empty()) text += ',';
    text += std::to_string(cpus[i]);
    if (last > i) text += '-' + std::to_string(cpus[last]);
    i = last + 1;
  }
  return text;
}

Result<std::vector<int>> parse_cpu_list(std::string_view text) {
  std::set<int> cpus;
  for (std::string_view rest = text;;) {
    if (!take_cpus(rest, cpus) || (!rest.empty() && rest.front() != ','))
      return Error{ErrorCode::invalid_argument,
                   fmt::format("'{}' is no list of cores such as 0-2,5", text)};
    if (rest.empty()) return std::vector<int>(cpus.begin(), cpus.end());
    rest.remove_prefix(1);
  }
}

}  // namespace sheaf::slices
