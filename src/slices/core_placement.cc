#include "slices/core_placement.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "slices/placement_words.h"

namespace sheaf::slices {
namespace {

Result<std::vector<int>> cores_named(const Wish& wish, const std::string& given,
                                     const Machine& machine, const PlacementRules& rules) {
  SHEAF_ASSIGN(const std::string word, on_this_machine(given, rules));
  if (!word.starts_with("cores:"))
    return placement_error(
        fmt::format("model {}: {} is no set of cores such as cores:0-1, and it runs on "
                    "the processor",
                    wish.model, word));
  auto cpus = parse_cpu_list(std::string_view(word).substr(6));
  if (!cpus.ok())
    return placement_error(fmt::format("model {}: {}: {}", wish.model, word, cpus.error().message));
  for (const int cpu : *cpus)
    if (std::ranges::find(machine.cores, cpu, &Core::cpu) == machine.cores.end())
      return Error{ErrorCode::not_found,
                   fmt::format("model {}: {}: core {} is not here, or may not be used", wish.model,
                               word, cpu)};
  return cpus;
}

// The machine as if it had only those cores, or all but those.
Machine cores_part(const Machine& machine, const std::set<int>& cpus, bool within) {
  Machine part = machine;
  std::erase_if(part.cores, [&](const Core& core) { return cpus.contains(core.cpu) != within; });
  part.core_quota = machine.core_quota * static_cast<double>(part.cores.size()) /
                    static_cast<double>(machine.cores.size());
  return part;
}

// Which sets of cores the replicas of each wish get, and how each set is cut.
class CorePlacement {
 public:
  CorePlacement(const Machine& machine, std::span<const Wish> wishes, const PlacementRules& rules)
      : machine_(machine), wishes_(wishes), rules_(rules) {}

  Result<std::vector<PlacedReplica>> replicas() {
    for (std::size_t wish = 0; wish < wishes_.size(); ++wish)
      if (!wishes_[wish].on_cards && !wishes_[wish].slices.empty()) SHEAF_TRY(take_list(wish));
    const Machine rest = cores_part(machine_, named_, false);
    const Machine& open = rest.cores.empty() ? machine_ : rest;
    for (std::size_t wish = 0; wish < wishes_.size(); ++wish)
      if (!wishes_[wish].on_cards && wishes_[wish].slices.empty()) {
        const std::uint32_t wanted = wishes_[wish].replicas;
        for (std::uint32_t i = 0; i < (wanted == 0 ? default_count(wish, open) : wanted); ++i)
          add(wish, cpus_of(open));
      }
    cut();
    SHEAF_TRY(check_processes());
    return std::move(replicas_);
  }

 private:
  static std::set<int> cpus_of(const Machine& machine) {
    std::set<int> cpus;
    for (const Core& core : machine.cores) cpus.insert(core.cpu);
    return cpus;
  }

  // Not so many that their processes find no core each.
  std::uint32_t default_count(std::size_t wish, const Machine& open) const {
    const auto divided = static_cast<std::uint32_t>(open.cores.size()) / wishes_[wish].processes;
    return std::min(default_replicas(machine_), std::max(divided, 1u));
  }

  Status check_processes() const {
    for (std::size_t i = 0; i < replicas_.size(); ++i) {
      const Slice& slice = replicas_[i].slice;
      const Wish& wish = wishes_[replicas_[i].wish];
      if (slice.cpus.size() < wish.processes)
        return placement_error(fmt::format(
            "model {}: {} {}: each process of a replica takes a core, and replica {} of {} has {} "
            "({}); fewer replicas, or fewer processes of each, would fit",
            wish.model, flag_of(wish.division), wish.processes, i, replicas_.size(),
            slice.cpus.size(), slice.name));
    }
    return {};
  }

  void add(std::size_t wish, const std::set<int>& cpus) {
    users_[cpus].push_back(replicas_.size());
    replicas_.push_back({.wish = wish, .slice = {}, .allowed = wishes_[wish].slices});
  }

  Status take_list(std::size_t wish) {
    std::vector<std::set<int>> sets;
    for (const std::string& word : wishes_[wish].slices) {
      SHEAF_ASSIGN(const std::vector<int> cpus, cores_named(wishes_[wish], word, machine_, rules_));
      sets.emplace_back(cpus.begin(), cpus.end());
      named_.insert(cpus.begin(), cpus.end());
    }
    const std::size_t wanted = wishes_[wish].replicas;
    for (std::size_t i = 0; i < (wanted == 0 ? sets.size() : wanted); ++i)
      add(wish, sets[i % sets.size()]);
    return {};
  }

  void cut() {
    for (const auto& [cpus, users] : users_) {
      auto slices =
          cut_cores(cores_part(machine_, cpus, true), static_cast<std::uint32_t>(users.size()));
      for (std::size_t i = 0; i < users.size(); ++i)
        replicas_[users[i]].slice = std::move(slices[i]);
    }
  }

  const Machine& machine_;
  const std::span<const Wish> wishes_;
  const PlacementRules& rules_;
  std::set<int> named_;
  std::map<std::set<int>, std::vector<std::size_t>> users_;  // of each set of cores: replicas
  std::vector<PlacedReplica> replicas_;
};

}  // namespace

Result<std::vector<PlacedReplica>> place_on_cores(const Machine& machine,
                                                  std::span<const Wish> wishes,
                                                  const PlacementRules& rules) {
  return CorePlacement(machine, wishes, rules).replicas();
}

}  // namespace sheaf::slices
