#include "slices/mig_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "base/text.h"
#include "slices/lease_request.h"
#include "slices/mig_cut.h"
#include "slices/mps.h"

namespace sheaf::slices {
namespace {

using Verb = MigRequest::Verb;

constexpr std::array<std::string_view, 5> kVerbs{"enable", "disable", "create", "destroy", "apply"};

Result<Verb> verb_named(const std::string& name) {
  const auto found = std::ranges::find(kVerbs, name);
  if (found == kVerbs.end())
    return Error{ErrorCode::invalid_argument, fmt::format("'{}' is no verb of a request", name)};
  return static_cast<Verb>(found - kVerbs.begin());
}

const Gpu* find_gpu(const std::vector<Gpu>& gpus, std::string_view word) {
  if (word.starts_with("gpu:")) word.remove_prefix(4);
  unsigned index = 0;
  const auto [end, failure] = std::from_chars(word.data(), word.data() + word.size(), index);
  const bool is_index = failure == std::errc() && end == word.data() + word.size();
  const auto found = std::ranges::find_if(gpus, [&](const Gpu& gpu) {
    return is_index ? gpu.index == index : !word.empty() && gpu.uuid == word;
  });
  return found == gpus.end() ? nullptr : &*found;
}

Result<CardState> wanted_state(const MigRequest& request, const Gpu& gpu, const CardState& before) {
  CardState after = before;
  switch (request.verb) {
    case Verb::enable:
      after.mig = after.mig_pending = true;
      return after;
    case Verb::disable:
      if (!before.instances.empty())
        return Error{ErrorCode::unavailable,
                     fmt::format("GPU {} holds {} instances: `sheaf slices mig destroy all --gpu "
                                 "{}` first",
                                 gpu.index, before.instances.size(), gpu.index)};
      after.mig = after.mig_pending = false;
      return after;
    case Verb::create:
      return with_created(gpu, before, request.words, request.repartition);
    case Verb::destroy:
      return with_destroyed(gpu, before, request.words);
    case Verb::apply:
      break;  // goes by wishes
  }
  return after;
}

// Nothing for a card that is as it shall be.
void add_change(CardState before, CardState after, std::vector<CardChange>& changes) {
  if (before != after) changes.push_back({std::move(before), std::move(after)});
}

Status add_wish(const CardWish& wish, const std::vector<Gpu>& gpus,
                std::vector<CardChange>& changes) {
  SHEAF_ASSIGN(const auto chosen, gpus_of(wish, gpus));
  for (const Gpu* gpu : chosen) {
    SHEAF_ASSIGN(const CardState before, state_of(*gpu));
    CardState after = before;
    after.mig = after.mig_pending = wish.mig;
    after.instances.clear();
    if (wish.mig) {
      SHEAF_ASSIGN(after, with_exactly(*gpu, before, wish.instances));
    }
    add_change(before, std::move(after), changes);
  }
  return {};
}

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(CardWish, gpus, pci_ids, mig, instances)

std::string joined(const std::vector<std::string>& words) {
  return fmt::format("{}", fmt::join(words, " "));
}

// What is leased, or where MPS runs, is as busy as what computes.
Status refuse_occupied(const std::string& folder, const std::vector<Gpu>& gpus,
                       const std::vector<CardChange>& changes,
                       const std::vector<std::string>& leases) {
  for (const CardChange& change : changes) {
    const auto gpu = std::ranges::find(gpus, change.before.uuid, &Gpu::uuid);
    const std::vector<std::string> uuids = taken_away(*gpu, change);
    SHEAF_TRY(refuse_leased(folder, uuids, leases));
    SHEAF_TRY(refuse_busy(*gpu, change));
    SHEAF_TRY(refuse_mps(folder, uuids));
  }
  return {};
}

}  // namespace

std::string describe(const MigRequest& request) {
  std::string text(kVerbs[static_cast<std::size_t>(request.verb)]);
  if (!request.words.empty()) text += " " + joined(request.words);
  if (!request.gpus.empty()) text += " on GPU " + joined(request.gpus);
  if (request.verb == Verb::apply) text += fmt::format(" {} wishes", request.wishes.size());
  return text;
}

std::string to_text(const MigRequest& request) {
  auto wishes = nlohmann::json::array();
  for (const CardWish& wish : request.wishes) {
    nlohmann::json one;
    to_json(one, wish);
    wishes.push_back(std::move(one));
  }
  const nlohmann::json json = {{"verb", kVerbs[static_cast<std::size_t>(request.verb)]},
                               {"gpus", request.gpus},
                               {"words", request.words},
                               {"wishes", wishes},
                               {"repartition", request.repartition},
                               {"leases", request.leases},
                               {"wait_ms", request.wait_ms}};
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Result<MigRequest> parse_request(const std::string& text) {
  try {
    const auto json = nlohmann::json::parse(text);
    MigRequest request;
    SHEAF_ASSIGN(request.verb, verb_named(json.at("verb").get<std::string>()));
    json.at("gpus").get_to(request.gpus);
    json.at("words").get_to(request.words);
    json.at("repartition").get_to(request.repartition);
    json.at("leases").get_to(request.leases);
    json.at("wait_ms").get_to(request.wait_ms);
    for (const auto& one : json.at("wishes")) {
      CardWish wish;
      from_json(one, wish);
      request.wishes.push_back(std::move(wish));
    }
    return request;
  } catch (const nlohmann::json::exception& thrown) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("not a request for partitions: {}", thrown.what())};
  }
}

Result<std::vector<const Gpu*>> choose_gpus(const std::vector<Gpu>& gpus,
                                            const std::vector<std::string>& words,
                                            bool all_by_default) {
  std::vector<const Gpu*> chosen;
  const bool all =
      std::ranges::find(words, "all") != words.end() || (words.empty() && all_by_default);
  if (all || words.empty()) {
    for (const Gpu& gpu : gpus)
      if (gpu.mig) chosen.push_back(&gpu);
    if (chosen.empty())
      return Error{ErrorCode::unsupported, "no card of this machine can be cut by MIG"};
    if (!all && chosen.size() > 1)
      return Error{
          ErrorCode::invalid_argument,
          fmt::format("{} cards can be cut: name one with --gpu N, or --gpu all", chosen.size())};
    return chosen;
  }
  for (const std::string& word : words) {
    const Gpu* gpu = find_gpu(gpus, word);
    if (gpu == nullptr)
      return Error{ErrorCode::not_found,
                   fmt::format("there is no GPU {}; `sheaf slices` shows the {} there are", word,
                               gpus.size())};
    if (std::ranges::find(chosen, gpu) == chosen.end()) chosen.push_back(gpu);
  }
  return chosen;
}

Result<std::vector<const Gpu*>> gpus_of(const CardWish& wish, const std::vector<Gpu>& gpus) {
  const bool all = wish.gpus.empty() || std::ranges::find(wish.gpus, "all") != wish.gpus.end();
  std::vector<const Gpu*> chosen;
  if (all) {
    for (const Gpu& gpu : gpus)
      if (gpu.mig) chosen.push_back(&gpu);
  } else {
    SHEAF_ASSIGN(chosen, choose_gpus(gpus, wish.gpus, false));
  }
  if (!wish.pci_ids.empty())
    std::erase_if(chosen, [&](const Gpu* gpu) {
      return std::ranges::find(wish.pci_ids, gpu->pci_id) == wish.pci_ids.end();
    });
  // A card that cannot be cut is without MIG already.
  if (!wish.mig) std::erase_if(chosen, [](const Gpu* gpu) { return !gpu->mig; });
  return chosen;
}

Result<std::vector<CardChange>> changes_for(const MigRequest& request,
                                            const std::vector<Gpu>& gpus) {
  std::vector<CardChange> changes;
  if (request.verb == Verb::apply) {
    for (const CardWish& wish : request.wishes) SHEAF_TRY(add_wish(wish, gpus, changes));
    for (std::size_t i = 0; i < changes.size(); ++i)
      for (std::size_t j = 0; j < i; ++j)
        if (changes[i].before.uuid == changes[j].before.uuid)
          return Error{ErrorCode::invalid_argument,
                       fmt::format("two entries speak of GPU {}", changes[i].before.gpu)};
    return changes;
  }
  SHEAF_ASSIGN(const auto chosen, choose_gpus(gpus, request.gpus, false));
  for (const Gpu* gpu : chosen) {
    SHEAF_ASSIGN(const CardState before, state_of(*gpu));
    SHEAF_ASSIGN(CardState after, wanted_state(request, *gpu, before));
    add_change(before, std::move(after), changes);
  }
  return changes;
}

Result<ChangeReport> carry_out(const Nvml& nvml, MigJournal& journal, const MigRequest& request) {
  SHEAF_ASSIGN(const auto undone, undo_unfinished(nvml, journal));
  SHEAF_ASSIGN(const GpuInventory inventory, read_gpus(nvml, nullptr));
  SHEAF_ASSIGN(const auto changes, changes_for(request, inventory.gpus));
  SHEAF_TRY(refuse_occupied(journal.folder(), inventory.gpus, changes, request.leases));
  ChangeReport report;
  if (!changes.empty()) {
    SHEAF_ASSIGN(report, change_cards(nvml, journal, describe(request), changes));
  }
  if (undone) report.steps.insert(report.steps.begin(), *undone);
  return report;
}

}  // namespace sheaf::slices
