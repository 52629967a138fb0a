#include "slices/placement.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <iterator>
#include <map>
#include <set>

#include "base/text.h"
#include "slices/core_placement.h"
#include "slices/device_share.h"
#include "slices/placement_words.h"
#include "slices/seating.h"

namespace sheaf::slices {
namespace {

// One server of CUDA 13.0 takes so many clients (NVIDIA's guide to MPS).
constexpr std::size_t kMpsClients = 48;

struct NamedAssignment {
  std::string_view name;
  Assignment assignment;
};
constexpr std::array kAssignments = {NamedAssignment{"auto", Assignment::automatic},
                                     NamedAssignment{"dedicated", Assignment::dedicated},
                                     NamedAssignment{"shared", Assignment::shared},
                                     NamedAssignment{"mig", Assignment::mig},
                                     NamedAssignment{"mps", Assignment::mps},
                                     NamedAssignment{"time", Assignment::time}};

std::string size_text(std::uint64_t bytes) { return human_bytes(static_cast<double>(bytes)); }

// ---- what names mean

std::string text_of_devices(const std::vector<Device>& devices) {
  if (devices.empty()) return "no card that is not cut and no MIG slice is here";
  std::vector<std::string> names;
  for (const Device& device : devices) names.push_back(device.name());
  return fmt::format("there are {}", fmt::join(names, ", "));
}

Error no_such_slice(const Wish& wish, const std::string& word, const std::vector<Device>& devices) {
  if (word.find('#') != word.npos)
    return placement_error(fmt::format(
        "model {}: {} is a share, and shares are cut when replicas are placed: name the "
        "card or MIG slice",
        wish.model, word));
  return Error{
      ErrorCode::not_found,
      fmt::format("model {}: no card and no MIG slice is {}; {}; `sheaf slices` shows them",
                  wish.model, word, text_of_devices(devices))};
}

using Indexes = std::vector<std::size_t>;  // of devices

constexpr std::string_view kNoMig = "NCCL does not work across MIG slices";

// "mig:0/3 is leased to task t …"; empty: it may be had.
std::string withheld_text(const Device& device, const PlacementRules& rules) {
  const auto unusable = rules.unusable.find(device.card_uuid);
  if (unusable != rules.unusable.end())
    return fmt::format("{} {}", device.name(), unusable->second);
  const auto found = rules.withheld.find(device.uuid);
  return found == rules.withheld.end() ? "" : fmt::format("{} {}", device.name(), found->second);
}

// The devices that a list names, in its order, each once.
Result<Indexes> resolve(const Wish& wish, const std::vector<Device>& devices,
                        const PlacementRules& rules) {
  Indexes named;
  for (const std::string& given : wish.slices) {
    SHEAF_ASSIGN(const std::string word, on_this_machine(given, rules));
    bool found = false;
    std::string withheld;
    for (std::size_t i = 0; i < devices.size(); ++i) {
      if (!devices[i].is_meant_by(word)) continue;
      if (const std::string had = withheld_text(devices[i], rules); !had.empty()) {
        withheld = had;
        continue;
      }
      found = true;
      if (rules.assignment == Assignment::mig && !devices[i].mig)
        return placement_error(
            fmt::format("model {}: {} is no MIG slice, as --gpu-assignment mig wants", wish.model,
                        devices[i].name()));
      if (std::ranges::find(named, i) == named.end()) named.push_back(i);
    }
    if (!found && !withheld.empty())
      return Error{ErrorCode::unavailable, fmt::format("model {}: {}", wish.model, withheld)};
    if (!found) return no_such_slice(wish, word, devices);
  }
  return named;
}

// ---- threads

// Those on the same cores divide them.
void divide_threads(const Machine& machine, std::vector<PlacedReplica>& replicas) {
  std::map<std::vector<int>, double> crowd;
  for (const PlacedReplica& replica : replicas)
    for (const Slice& slice : replica.slices())
      if (slice.kind != SliceKind::cores) ++crowd[slice.cpus];
  const double granted = machine.core_quota / static_cast<double>(machine.cores.size());
  const auto divide = [&](Slice& slice) {
    if (slice.kind == SliceKind::cores) return;
    const double each = granted * static_cast<double>(slice.cpus.size()) / crowd.at(slice.cpus);
    slice.threads = std::max(static_cast<int>(std::floor(each)), 1);
  };
  for (PlacedReplica& replica : replicas) {
    divide(replica.slice);
    std::ranges::for_each(replica.cards, divide);
  }
}

// ---- on cards

class CardPlacement {
 public:
  CardPlacement(const Machine& machine, const GpuInventory& gpus, std::span<const Wish> wishes,
                const PlacementRules& rules)
      : machine_(machine), gpus_(gpus), wishes_(wishes), rules_(rules), devices_(devices_of(gpus)) {
    for (const Device& device : devices_)
      rooms_.push_back({usable_bytes(device, rules), device.gpu});
    seats_.resize(wishes.size());
  }

  // Nothing: all have a seat.
  Result<std::optional<Misfit>> seat_all() {
    SHEAF_TRY(check());
    for (const Wish& wish : wishes_)
      if (is_group(wish)) SHEAF_TRY(check_group(wish));
    SHEAF_TRY(seat_lists());
    SHEAF_ASSIGN(auto misfit, seat_groups());
    if (misfit) return misfit;
    SHEAF_ASSIGN(misfit, seat_others());
    if (!misfit) misfit = misfit_of_lists();
    if (!misfit) fill_devices();
    return misfit;
  }

  // As slices::least_room(), of the first wish.
  Result<std::uint64_t> least_room() const {
    const Wish& wish = wishes_.front();
    SHEAF_TRY(check());
    SHEAF_TRY(check_group(wish));
    SHEAF_ASSIGN(Indexes devices,
                 wish.slices.empty() ? open_to(wish) : resolve(wish, devices_, rules_));
    const std::size_t count =
        wish.slices.empty() ? std::max(wish.replicas, 1u) : groups_of_list(wish, devices);
    if (wish.slices.empty()) sort_by_room(devices);
    devices.resize(std::min(devices.size(), count * wish.processes));
    std::uint64_t least = ~std::uint64_t{0};
    for (const std::size_t i : devices) least = std::min(least, rooms_[i].bytes);
    return least;
  }

  // By wish, those on cores left out.
  std::vector<PlacedReplica> replicas() const {
    std::vector<std::uint32_t> next_share(devices_.size(), 0);
    std::vector<PlacedReplica> all;
    for (std::size_t wish = 0; wish < wishes_.size(); ++wish)
      for (auto seat = seats_[wish].begin(); seat != seats_[wish].end();) {
        std::vector<Slice> slices;
        SharedBytes weights;
        for (std::uint32_t process = 0; process < wishes_[wish].processes; ++process, ++seat) {
          const auto shares = static_cast<std::uint32_t>(rooms_[*seat].seated.size());
          weights = {wishes_[wish].weights_bytes, rooms_[*seat].weights_bytes()};
          slices.push_back(slice_on(devices_[*seat], shares, next_share[*seat]++, weights, rules_));
          bind_near(machine_, devices_[*seat], slices.back());
        }
        all.push_back({wish, {}, need_of(wish).total_bytes(), weights, wishes_[wish].slices});
        all.back().take_cards(std::move(slices));
      }
    return all;
  }

 private:
  bool must_be_alone() const {
    return rules_.assignment == Assignment::dedicated || rules_.assignment == Assignment::mig;
  }

  void seat(std::size_t wish, std::size_t device) {
    seats_[wish].push_back(device);
    rooms_[device].seated.push_back(need_of(wish));
  }

  Need need_of(std::size_t wish) const {
    return {wishes_[wish].replica_bytes, wishes_[wish].weights_bytes, wish};
  }

  Status check() const {
    std::set<unsigned> cards;
    for (const Gpu& gpu : gpus_.gpus)
      if (gpu.visible) cards.insert(gpu.index);
    if (rules_.num_gpus > cards.size())
      return placement_error(
          fmt::format("--num-gpus {}: there are {} cards here{}", rules_.num_gpus, cards.size(),
                      cards.size() < gpus_.gpus.size() ? " that CUDA_VISIBLE_DEVICES shows" : ""));
    if (!devices_.empty()) return {};
    for (const Gpu& gpu : gpus_.gpus)
      if (gpu.visible && gpu.mig && gpu.mig->current)
        return Error{ErrorCode::not_found,
                     fmt::format("no slice to serve on: GPU {} is in MIG mode and not cut; `sheaf "
                                 "slices mig create --gpu {}` cuts it",
                                 gpu.index, gpu.index)};
    return Error{ErrorCode::not_found, "no slice to serve on: no card is here"};
  }

  // ---- ranks and stages, which have a device each: NCCL refuses two ranks on one, and MIG

  static bool is_group(const Wish& wish) { return wish.on_cards && wish.processes > 1; }
  static bool may_have_mig(const Wish& wish) { return wish.division == Division::stages; }

  static Error group_error(const Wish& wish, std::string_view why) {
    return placement_error(fmt::format("model {}: {} {}: {}", wish.model, flag_of(wish.division),
                                       wish.processes, why));
  }

  Status check_group(const Wish& wish) const {
    const DivisionWords& words = words_of(wish.division);
    if (rules_.assignment == Assignment::mig && !may_have_mig(wish))
      return group_error(wish,
                         fmt::format("{}; --gpu-assignment dedicated takes whole cards", kNoMig));
    if (rules_.assignment == Assignment::automatic || must_be_alone()) return {};
    return group_error(
        wish, fmt::format("each {} takes a {} to itself{}: --gpu-assignment dedicated, not {}",
                          words.process, words.place,
                          may_have_mig(wish) ? "" : ", since NCCL refuses two on one",
                          name_of(rules_.assignment)));
  }

  static std::size_t groups_of_list(const Wish& group, const Indexes& list) {
    return group.replicas > 0 ? group.replicas
                              : std::max<std::size_t>(list.size() / group.processes, 1);
  }

  Status seat_group_list(std::size_t wish, const Indexes& list) {
    const Wish& group = wishes_[wish];
    for (const std::size_t i : list)
      if (devices_[i].mig && !may_have_mig(group))
        return group_error(group, fmt::format("{} is a MIG slice, and {}; name whole cards",
                                              devices_[i].name(), kNoMig));
    const std::size_t count = groups_of_list(group, list), devices = count * group.processes;
    if (list.size() < devices)
      return group_error(group, fmt::format("{}, and {} in its list", text_of_taken(group, count),
                                            text_of_count(list.size())));
    for (std::size_t i = 0; i < devices; ++i) seat(wish, list[i]);
    return {};
  }

  Status check_alone(std::size_t wish) const {
    const DivisionWords& words = words_of(wishes_[wish].division);
    for (const std::size_t i : seats_[wish])
      if (rooms_[i].seated.size() > 1)
        return group_error(
            wishes_[wish],
            fmt::format("each {} takes a {} to itself, and {} replicas are to run on {}",
                        words.process, words.place, rooms_[i].seated.size(), devices_[i].name()));
    return {};
  }

  // Before all others without a list, who may share what is left.
  Result<std::optional<Misfit>> seat_groups() {
    for (std::size_t wish = 0; wish < wishes_.size(); ++wish) {
      if (!is_group(wishes_[wish]) || !wishes_[wish].slices.empty()) continue;
      SHEAF_ASSIGN(const auto misfit, seat_group(wish));
      if (misfit) return misfit;
    }
    return std::optional<Misfit>();
  }

  // Devices that a group may have.
  Result<Indexes> open_to(const Wish& group) const {
    SHEAF_ASSIGN(Indexes open, open_devices());
    std::erase_if(open, [&](std::size_t i) {
      return !rooms_[i].seated.empty() || (devices_[i].mig && !may_have_mig(group));
    });
    return open;
  }

  Result<std::optional<Misfit>> seat_group(std::size_t wish) {
    const Wish& group = wishes_[wish];
    SHEAF_ASSIGN(const Indexes open, open_to(group));
    const std::size_t count = group.replicas > 0 ? group.replicas : default_groups(wish, open);
    const std::size_t processes = count * group.processes;
    if (open.size() < processes)
      return group_error(
          group, fmt::format("{}, and {} free{}{}", text_of_taken(group, count),
                             text_of_count(open.size()), why_not_mig(group), why_not_others()));
    std::vector<Room> rooms;
    for (const std::size_t i : open) rooms.push_back(rooms_[i]);
    const auto seats = seat_alone(rooms, std::vector<Need>(processes, need_of(wish)));
    if (!seats) return std::optional<Misfit>(worst_of_group(wish, open, processes));
    for (const std::size_t place : *seats) {
      seat(wish, open[place]);
      close(open[place], group);
    }
    return std::optional<Misfit>();
  }

  // Where there are slices that it cannot have.
  std::string why_not_mig(const Wish& group) const {
    const auto open = open_devices();
    const bool cut =
        open.ok() && std::ranges::any_of(*open, [this](std::size_t i) { return devices_[i].mig; });
    return cut && !may_have_mig(group) ? fmt::format("; {}", kNoMig) : "";
  }

  std::string why_not_others() const {
    const std::string taken = why_all_taken();
    return taken.empty() ? "" : "; " + taken;
  }

  void close(std::size_t device, const Wish& group) { closed_.emplace(device, group.division); }

  // As many as devices suffice for, with one left for each replica, or each of its processes, of
  // those that come behind.
  std::size_t default_groups(std::size_t wish, const Indexes& open) const {
    const auto large = static_cast<std::size_t>(std::ranges::count_if(
        open, [&](std::size_t i) { return rooms_[i].bytes >= need_of(wish).total_bytes(); }));
    std::size_t others = certain_replicas().size();
    for (std::size_t later = wish + 1; later < wishes_.size(); ++later)
      if (is_group(wishes_[later]) && wishes_[later].slices.empty())
        others += std::size_t{std::max(wishes_[later].replicas, 1u)} * wishes_[later].processes;
    const std::size_t left = open.size() - std::min(open.size(), others);
    return std::max<std::size_t>(std::min(large, left) / wishes_[wish].processes, 1);
  }

  // The largest device that is too small, where so many have to do.
  Misfit worst_of_group(std::size_t wish, Indexes open, std::size_t processes) const {
    sort_by_room(open);
    std::size_t first = 0;
    while (first + 1 < processes && rooms_[open[first]].bytes >= need_of(wish).total_bytes())
      ++first;
    return misfit(wish, open[first], 1);
  }

  // The largest first.
  void sort_by_room(Indexes& devices) const {
    std::ranges::stable_sort(devices, std::greater(),
                             [this](std::size_t i) { return rooms_[i].bytes; });
  }

  // "the stages of 2 replicas take 4 cards or MIG slices"
  static std::string text_of_taken(const Wish& group, std::size_t count) {
    const DivisionWords& words = words_of(group.division);
    return fmt::format("{} take {} {}",
                       count == 1 ? fmt::format("its {}s", words.process)
                                  : fmt::format("the {}s of {} replicas", words.process, count),
                       count * group.processes, words.places);
  }
  static std::string text_of_count(std::size_t count) {
    return fmt::format("{} {}", count, count == 1 ? "is" : "are");
  }

  // ---- with a list

  Status seat_lists() {
    for (std::size_t wish = 0; wish < wishes_.size(); ++wish) {
      if (!wishes_[wish].on_cards || wishes_[wish].slices.empty()) continue;
      SHEAF_ASSIGN(const Indexes list, resolve(wishes_[wish], devices_, rules_));
      named_.insert(list.begin(), list.end());
      if (is_group(wishes_[wish])) {
        SHEAF_TRY(seat_group_list(wish, list));
        continue;
      }
      const std::size_t wanted = wishes_[wish].replicas;
      const std::size_t count = wanted == 0 ? list.size() : wanted;
      for (std::size_t i = 0; i < count; ++i) seat(wish, list[i % list.size()]);
    }
    for (std::size_t wish = 0; wish < wishes_.size(); ++wish)
      if (is_group(wishes_[wish])) {
        SHEAF_TRY(check_alone(wish));
        for (const std::size_t i : seats_[wish]) close(i, wishes_[wish]);
      }
    if (!must_be_alone()) return {};
    for (const std::size_t i : named_)
      if (rooms_[i].seated.size() > 1)
        return placement_error(
            fmt::format("--gpu-assignment {}: {} replicas are to run on {}; "
                        "--gpu-assignment shared lets them share it",
                        name_of(rules_.assignment), rooms_[i].seated.size(), devices_[i].name()));
    return {};
  }

  std::optional<Misfit> misfit_of_lists() const {
    for (std::size_t wish = 0; wish < wishes_.size(); ++wish)
      for (const std::size_t i : seats_[wish])
        if (rooms_[i].part_bytes() < wishes_[wish].replica_bytes)
          return misfit(wish, i, rooms_[i].seated.size());
    return std::nullopt;
  }

  // Of one that is not seated there yet, the room's weights do not tell of its own.
  Misfit misfit(std::size_t wish, std::size_t device, std::size_t shares) const {
    const auto count = static_cast<std::uint32_t>(shares);
    const SharedBytes weights = {
        wishes_[wish].weights_bytes,
        std::max(wishes_[wish].weights_bytes, rooms_[device].weights_bytes())};
    return {wish, devices_[device], count, need_of(wish).total_bytes(),
            std::min(share_bytes(devices_[device], count, weights, rules_), rooms_[device].bytes)};
  }

  // ---- without

  // "gpu:0 is leased to task t", "gpu:1 has a rank to itself"; empty: the device can be had.
  std::string why_taken(std::size_t device) const {
    if (std::string text = withheld_text(devices_[device], rules_); !text.empty()) return text;
    const auto closed = closed_.find(device);
    return closed == closed_.end() ? ""
                                   : fmt::format("{} has a {} to itself", devices_[device].name(),
                                                 words_of(closed->second).process);
  }
  // Of all that cannot be had.
  std::string why_all_taken() const {
    std::string all;
    for (std::size_t i = 0; i < devices_.size(); ++i)
      if (const std::string one = why_taken(i); !one.empty())
        all += (all.empty() ? "" : "; ") + one;
    return all;
  }

  Result<Indexes> open_devices() const {
    Indexes open, unnamed;
    std::set<unsigned> cards;
    for (std::size_t i = 0; i < devices_.size(); ++i) {
      if (!withheld_text(devices_[i], rules_).empty()) continue;
      cards.insert(devices_[i].gpu);
      if (rules_.num_gpus > 0 && cards.size() > rules_.num_gpus) break;
      if (closed_.contains(i)) continue;
      if (rules_.assignment == Assignment::mig && !devices_[i].mig) continue;
      open.push_back(i);
      if (!named_.contains(i)) unnamed.push_back(i);
    }
    if (const std::string taken = why_all_taken(); open.empty() && !taken.empty())
      return Error{ErrorCode::unavailable, "no slice to serve on is free: " + taken};
    if (open.empty())
      return Error{
          ErrorCode::not_found,
          "--gpu-assignment mig: no card here is cut; `sheaf slices mig enable` and `sheaf "
          "slices mig create` cut one"};
    return unnamed.empty() ? open : unnamed;
  }

  // One entry a replica: the wish. Each has one at least.
  std::vector<std::size_t> certain_replicas() const {
    std::vector<std::size_t> replicas;
    for (std::size_t wish = 0; wish < wishes_.size(); ++wish)
      if (wishes_[wish].on_cards && wishes_[wish].slices.empty() && !is_group(wishes_[wish]))
        replicas.insert(replicas.end(), std::max(wishes_[wish].replicas, 1u), wish);
    return replicas;
  }

  Result<std::optional<Misfit>> seat_others() {
    const std::vector<std::size_t> replicas = certain_replicas();
    if (replicas.empty()) return std::optional<Misfit>();
    SHEAF_ASSIGN(const Indexes open, open_devices());
    std::vector<Need> needs;
    for (const std::size_t wish : replicas) needs.push_back(need_of(wish));
    std::vector<Room> rooms;
    for (const std::size_t i : open) rooms.push_back(rooms_[i]);
    const auto empty = static_cast<std::size_t>(
        std::ranges::count_if(rooms, [](const Room& room) { return room.seated.empty(); }));

    auto seats = seat_alone(rooms, needs);
    const bool alone = seats.has_value();
    if (!seats && !must_be_alone()) seats = seat_shared(rooms, needs);
    if (!seats && must_be_alone() && replicas.size() > empty)
      return placement_error(too_many(replicas.size(), empty));
    if (!seats) return std::optional<Misfit>(worst_misfit(open, replicas));
    for (std::size_t i = 0; i < replicas.size(); ++i) seat(replicas[i], open[(*seats)[i]]);
    if (alone) seat_further(open);
    return std::optional<Misfit>();
  }

  std::string too_many(std::size_t replicas, std::size_t free) const {
    return fmt::format(
        "--gpu-assignment {}: {} replicas want a {} each, and {} {} free; --gpu-assignment shared "
        "lets several share one",
        name_of(rules_.assignment), replicas,
        rules_.assignment == Assignment::mig ? "MIG slice" : "card or MIG slice", free,
        free == 1 ? "is" : "are");
  }

  // What is left goes to the models that said no number, to the one with fewest first.
  void seat_further(const Indexes& open) {
    for (const std::size_t i : open) {
      if (!rooms_[i].seated.empty()) continue;
      std::optional<std::size_t> chosen;
      for (std::size_t wish = 0; wish < wishes_.size(); ++wish) {
        const Wish& one = wishes_[wish];
        if (!one.on_cards || one.replicas > 0 || !one.slices.empty() || is_group(one)) continue;
        if (need_of(wish).total_bytes() > rooms_[i].bytes) continue;
        if (!chosen || seats_[wish].size() < seats_[*chosen].size()) chosen = wish;
      }
      if (chosen) seat(*chosen, i);
    }
  }

  // With further replicas of the one model there, as many as its wish says.
  void fill_devices() {
    if (must_be_alone()) return;
    for (std::size_t i = 0; i < devices_.size(); ++i) {
      const Room& room = rooms_[i];
      if (room.seated.size() != 1) continue;
      const std::size_t wish = room.seated.front().model;
      const Wish& one = wishes_[wish];
      const auto wanted = one.on_device.find(devices_[i].uuid);
      if (one.replicas > 0 || is_group(one) || wanted == one.on_device.end()) continue;
      while (room.seated.size() < wanted->second && room.holds(need_of(wish))) seat(wish, i);
    }
  }

  // Why these did not fit. Alone the replica that needs k-th most must fit the k-th largest device;
  // where they may share, the largest is cut in one share too many for the model that needs most.
  Misfit worst_misfit(Indexes open, std::vector<std::size_t> replicas) const {
    const auto need = [this](std::size_t wish) { return need_of(wish).total_bytes(); };
    const auto room = [this](std::size_t i) { return rooms_[i].bytes; };
    std::ranges::stable_sort(replicas, std::greater(), need);
    sort_by_room(open);
    if (must_be_alone()) {
      std::erase_if(open, [this](std::size_t i) { return !rooms_[i].seated.empty(); });
      for (std::size_t k = 0; k < replicas.size(); ++k)
        if (need(replicas[k]) > room(open[k])) return misfit(replicas[k], open[k], 1);
    }
    const std::size_t wish = replicas.front(), device = open.front();
    if (need(wish) > room(device)) return misfit(wish, device, 1);
    std::size_t total = replicas.size();
    for (const std::size_t i : open) total += rooms_[i].seated.size();
    const std::size_t even = (total + open.size() - 1) / open.size();
    const std::uint64_t left = room(device) - wishes_[wish].weights_bytes;
    const std::uint64_t each = std::max<std::uint64_t>(wishes_[wish].replica_bytes, 1);
    return misfit(wish, device, std::max(even, left / each + 1));
  }

  const Machine& machine_;
  const GpuInventory& gpus_;
  const std::span<const Wish> wishes_;
  const PlacementRules& rules_;
  const std::vector<Device> devices_;
  std::vector<Room> rooms_;  // by device
  std::set<std::size_t> named_;
  std::map<std::size_t, Division> closed_;  // devices that one of a group has to itself
  std::vector<Indexes> seats_;              // by wish: the devices of each replica's processes
};

// ---- all

Status check_mps(const std::vector<PlacedReplica>& replicas) {
  for (const PlacedReplica& replica : replicas)
    if (replica.slice.kind == SliceKind::mps && replica.slice.shares > kMpsClients)
      return placement_error(
          fmt::format("--gpu-assignment mps: {} replicas on one card or MIG slice, and "
                      "MPS serves {}",
                      replica.slice.shares, kMpsClients));
  return {};
}

}  // namespace

std::string_view name_of(Assignment assignment) {
  for (const NamedAssignment& one : kAssignments)
    if (one.assignment == assignment) return one.name;
  return "";
}

std::optional<Assignment> parse_assignment(std::string_view name) {
  for (const NamedAssignment& one : kAssignments)
    if (one.name == name) return one.assignment;
  return std::nullopt;
}

std::string Misfit::text(const Wish& wish) const {
  const std::string where =
      shares == 1 ? device.name() : fmt::format("one of {} shares of {}", shares, device.name());
  return fmt::format("model {} does not fit {} ({}): a {} needs {}, and {} may be used there",
                     wish.model, where, device.profile,
                     wish.processes > 1 ? words_of(wish.division).process : "replica",
                     size_text(needed_bytes), size_text(allowed_bytes));
}

Result<std::variant<Placement, Misfit>> place(const Machine& machine, const GpuInventory& gpus,
                                              std::span<const Wish> wishes,
                                              const PlacementRules& rules) {
  SHEAF_ASSIGN(std::vector<PlacedReplica> replicas, place_on_cores(machine, wishes, rules));
  if (std::ranges::any_of(wishes, &Wish::on_cards)) {
    CardPlacement on_cards(machine, gpus, wishes, rules);
    SHEAF_ASSIGN(auto misfit, on_cards.seat_all());
    if (misfit) return std::variant<Placement, Misfit>(std::move(*misfit));
    std::ranges::move(on_cards.replicas(), std::back_inserter(replicas));
  }
  SHEAF_TRY(check_mps(replicas));
  std::ranges::stable_sort(replicas, {}, &PlacedReplica::wish);
  divide_threads(machine, replicas);
  return std::variant<Placement, Misfit>(Placement{rules.machine, rules, std::move(replicas)});
}

Result<std::uint64_t> least_room(const Machine& machine, const GpuInventory& gpus, const Wish& wish,
                                 const PlacementRules& rules) {
  return CardPlacement(machine, gpus, {&wish, 1}, rules).least_room();
}

std::span<const Slice> PlacedReplica::slices() const {
  return cards.empty() ? std::span(&slice, 1) : std::span(cards);
}

void PlacedReplica::take_cards(std::vector<Slice> taken) {
  slice = taken.front();
  cards.clear();
  if (taken.size() == 1) return;
  for (std::size_t rank = 1; rank < taken.size(); ++rank) slice.name += "," + taken[rank].name;
  cards = std::move(taken);
}

}  // namespace sheaf::slices
