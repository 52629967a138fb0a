#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <sstream>

#include "base/text.h"
#include "cli/flag_value.h"
#include "cli/partition_file.h"
#include "cli/slices.h"
#include "cli/slices_verbs.h"
#include "cli/table.h"
#include "planner/gpu.h"
#include "slices/drain.h"
#include "slices/gpu_place.h"
#include "slices/mig_cut.h"
#include "slices/slice_helper.h"

// Verbs of `sheaf slices` that cut cards, or compare how they are cut with how they should be.
namespace sheaf::cli {
namespace {

using slices::Gpu;
using slices::MigRequest;
using Verb = MigRequest::Verb;

Result<slices::GpuInventory> inventory() {
  SHEAF_ASSIGN(const slices::Nvml nvml, slices::Nvml::open());
  return slices::read_gpus(nvml, nullptr);
}

int change(const MigRequest& request, const SlicesSettings& settings) {
  const auto make_change =
      settings.drain ? slices::request_change_after_drain : slices::request_change;
  const auto report = make_change(settings.folder, request, settings.wait_us / 1000,
                                  "sheaf slices " + slices::describe(request));
  if (!report.ok()) return fail("slices", report.error());
  const int done = report->owed.empty() ? kExitOk : kExitFailed;
  if (settings.json) {
    fmt::print("{}\n",
               nlohmann::ordered_json{{"steps", report->steps}, {"owed", report->owed}}.dump(2));
    return done;
  }
  for (const std::string& step : report->steps) fmt::print("{}\n", step);
  for (const std::string& owed : report->owed) fmt::print("{}\n", owed);
  if (report->steps.empty() && report->owed.empty()) fmt::print("nothing to change\n");
  return done;
}

int list(const SlicesSettings& settings) {
  const auto gpus = inventory();
  if (!gpus.ok()) return fail("slices", gpus.error());
  const auto chosen = slices::choose_gpus(gpus->gpus, settings.gpus, true);
  if (!chosen.ok()) return fail("slices", chosen.error());
  for (const Gpu* gpu : *chosen) {
    const auto state = slices::state_of(*gpu);
    if (!state.ok()) return fail("slices", state.error());
    fmt::print("GPU {} {} {}: MIG {}\n", gpu->index, gpu->name, gpu->uuid,
               gpu->mig->current ? "on" : "off");
    for (const slices::GpuInstance& instance : gpu->instances) {
      for (const slices::ComputeInstance& compute : instance.compute)
        fmt::print("  {:<9} {:<14} {}\n", slices::GpuPlace{gpu, &instance, &compute}.name(),
                   compute.name, compute.uuid);
      if (instance.compute.empty())
        fmt::print("  {:<9} {:<14} no compute instance: nothing can run here\n",
                   fmt::format("mig:{}/{}", gpu->index, instance.id), instance.name);
    }
    if (gpu->model == nullptr || !gpu->mig->current) continue;
    const auto geometry = slices::geometry_of(*gpu->model, *state);
    if (geometry.ok()) fmt::print("{}", geometry->picture());
  }
  return kExitOk;
}

std::string numbers(std::span<const int> list) { return fmt::format("{}", fmt::join(list, ",")); }

nlohmann::ordered_json profile_facts(const slices::MigProfile& profile, int room) {
  auto compute = nlohmann::ordered_json::array();
  for (const slices::ComputeProfile& one : slices::compute_profiles(profile))
    compute.push_back({{"name", one.name}, {"id", one.id}, {"count_max", one.count_max}});
  return {{"name", profile.name},
          {"id", profile.id},
          {"count_max", profile.count_max},
          {"room", room},
          {"memory_bytes", profile.memory_bytes()},
          {"multiprocessors", profile.multiprocessors},
          {"starts", profile.starts},
          {"memory_slices", profile.memory_slices},
          {"placement_certainty", name_of(profile.placement_certainty)},
          {"memory_certainty", name_of(profile.memory_certainty)},
          {"multiprocessors_certainty", name_of(profile.multiprocessors_certainty)},
          {"compute_instances", compute}};
}

std::string mark(slices::Certainty certainty) {
  return certainty == slices::Certainty::documented ? ""
         : certainty == slices::Certainty::inferred ? " ~"
                                                    : " ?";
}

void print_profiles(const slices::CardModel& model, const slices::MigGeometry& geometry) {
  Table table({{"profile"},
               {"id"},
               {"at most"},
               {"room"},
               {"memory"},
               {"SMs"},
               {"starts", true},
               {"size"}});
  for (const slices::MigProfile& profile : model.profiles)
    table.add_row(
        {std::string(profile.name),
         fmt::format("{}{}", profile.id, mark(profile.placement_certainty)),
         std::to_string(profile.count_max), std::to_string(geometry.remaining_capacity(profile)),
         human_bytes(static_cast<double>(profile.memory_bytes())) + mark(profile.memory_certainty),
         fmt::format("{}{}", profile.multiprocessors, mark(profile.multiprocessors_certainty)),
         numbers(profile.starts), std::to_string(profile.memory_slices)});
  fmt::print("{}", table.render());
}

// What a card offers: one that is here, or by the table (--model a100-40).
int show_profiles(const slices::CardModel& model, const slices::MigGeometry& geometry,
                  const SlicesSettings& settings) {
  if (!settings.json) {
    print_profiles(model, geometry);
    fmt::print("room: as the card is cut now; ~ inferred, ? no source, a nominal figure\n");
    return kExitOk;
  }
  auto json = nlohmann::ordered_json::array();
  for (const slices::MigProfile& profile : model.profiles)
    json.push_back(profile_facts(profile, geometry.remaining_capacity(profile)));
  fmt::print("{}\n", json.dump(2));
  return kExitOk;
}

int profiles(const SlicesSettings& settings) {
  if (!settings.model.empty()) {
    const auto found = planner::find_card(settings.model);
    if (!found.ok()) return fail("slices", found.error(), kExitUsage);
    const slices::CardModel& model = **found;
    if (!model.has_mig())
      return fail("slices", usage_error(fmt::format("{} has no MIG profiles", model.key)),
                  kExitUsage);
    return show_profiles(model, slices::MigGeometry(model), settings);
  }
  const auto gpus = inventory();
  if (!gpus.ok()) return fail("slices", gpus.error());
  const auto chosen = slices::choose_gpus(gpus->gpus, settings.gpus, false);
  if (!chosen.ok()) return fail("slices", chosen.error());
  for (const Gpu* gpu : *chosen) {
    const auto state = slices::state_of(*gpu);
    if (!state.ok()) return fail("slices", state.error());
    if (gpu->model == nullptr)
      return fail("slices", {ErrorCode::unsupported,
                             fmt::format("GPU {} ({}) tells no profiles while MIG is off, and is "
                                         "not in sheaf's table",
                                         gpu->index, gpu->name)});
    const auto geometry = slices::geometry_of(*gpu->model, *state);
    if (!geometry.ok()) return fail("slices", geometry.error());
    show_profiles(*gpu->model, *geometry, settings);
  }
  return kExitOk;
}

Result<std::vector<slices::CardWish>> wishes_of(const SlicesSettings& settings,
                                                std::string_view verb) {
  if (settings.words.size() != 1) return usage_error(fmt::format("{} takes one file", verb));
  return read_partition_file(settings.words[0], settings.label);
}

}  // namespace

int slices_mig(const SlicesSettings& settings) {
  const std::map<std::string, Verb> verbs = {{"enable", Verb::enable},
                                             {"disable", Verb::disable},
                                             {"create", Verb::create},
                                             {"destroy", Verb::destroy}};
  const std::string verb = settings.words.empty() ? "list" : settings.words[0];
  if (verb == "list") return list(settings);
  if (verb == "profiles") return profiles(settings);
  const auto found = verbs.find(verb);
  if (found == verbs.end())
    return fail("slices",
                usage_error(fmt::format("'mig {}' is not one of enable, disable, create, destroy, "
                                        "list, profiles",
                                        verb)),
                kExitUsage);
  // '7 equal' in quotes is two words as well.
  std::istringstream text(
      fmt::format("{}", fmt::join(settings.words.begin() + 1, settings.words.end(), " ")));
  const std::vector<std::string> words{std::istream_iterator<std::string>(text), {}};
  const bool takes_words = found->second == Verb::create || found->second == Verb::destroy;
  if (takes_words == words.empty())
    return fail(
        "slices",
        usage_error(takes_words ? fmt::format("mig {} needs {}", verb,
                                              found->second == Verb::create
                                                  ? "profiles: `sheaf slices mig profiles`"
                                                  : "instances, or all: `sheaf slices mig list`")
                                : fmt::format("mig {} takes no word; the card is --gpu", verb)),
        kExitUsage);
  return change({.verb = found->second,
                 .gpus = settings.gpus,
                 .words = words,
                 .repartition = settings.repartition},
                settings);
}

int slices_apply(const SlicesSettings& settings) {
  auto wishes = wishes_of(settings, "apply");
  if (!wishes.ok()) return fail("slices", wishes.error(), exit_code_of(wishes.error()));
  return change({.verb = Verb::apply, .wishes = std::move(*wishes)}, settings);
}

int slices_export(const SlicesSettings& settings) {
  const auto gpus = inventory();
  if (!gpus.ok()) return fail("slices", gpus.error());
  const auto text =
      write_partitions(gpus->gpus, settings.format == "mig-parted" ? PartitionFormat::mig_parted
                                                                   : PartitionFormat::sheaf);
  if (!text.ok()) return fail("slices", text.error());
  fmt::print("{}", *text);
  return kExitOk;
}

int slices_assert(const SlicesSettings& settings) {
  const auto wishes = wishes_of(settings, "assert");
  if (!wishes.ok()) return fail("slices", wishes.error(), exit_code_of(wishes.error()));
  const auto gpus = inventory();
  if (!gpus.ok()) return fail("slices", gpus.error());
  bool same = true;
  for (const slices::CardWish& wish : *wishes) {
    const auto chosen = slices::gpus_of(wish, gpus->gpus);
    if (!chosen.ok()) return fail("slices", chosen.error());
    for (const Gpu* gpu : *chosen) {
      const auto found = slices::differences(*gpu, wish.mig, wish.instances);
      if (!found.ok()) return fail("slices", found.error());
      for (const std::string& one : *found) fmt::print("{}\n", one);
      same = same && found->empty();
    }
  }
  return same ? kExitOk : kExitFailed;
}

}  // namespace sheaf::cli
