#include "cli/slices.h"

#include <fmt/core.h>

#include "cli/client_flags.h"
#include "cli/flag_set.h"
#include "cli/slices_verbs.h"
#include "slices/lease_request.h"
#include "slices/mig_journal.h"

// `sheaf slices`: what the machine has and how it is cut; its verbs.
namespace sheaf::cli {
namespace {

FlagSet flags_for(SlicesSettings& s) {
  FlagSet flags("sheaf slices [VERB …] [flags]",
                "What this machine has and how its cards are cut; cutting them.");
  flags.add_positional("VERB", s.words);
  flags.add({"gpu", "N|UUID", "cards that a verb of mig is about; several, or all"},
            text_list(s.gpus));
  flags.add({"repartition", "", "create may move idle instances"}, boolean(s.repartition));
  flags.add({"drain", "", "sheaf's own replicas move away first"}, boolean(s.drain));
  flags.add({"wait", "T", "for another's change, or for replicas to go"}, duration(s.wait_us));
  flags.add({"label", "L", "which of mig-parted's mig-configs", "", "the only one"}, text(s.label));
  flags.add({"format", "F", "of export"}, choice(s.format, {"sheaf", "mig-parted"}));
  flags.add({"model", "CARD", "mig profiles of a card that is not here: h200-141"}, text(s.model));
  flags.add({"sharing", "S", "of env kubernetes, slurm: none, mps, time"},
            choice(s.sharing, {"none", "mps", "time"}));
  flags.add({"replicas", "N", "so many share each card or slice then"},
            whole_number(s.replicas, 2, 48));
  flags.add({"folder", "DIR", "of lock, journal and helper", "", "/run/sheaf-slices"},
            text(s.folder));
  flags.add({"allow-user", "NAME", "who may ask the daemon besides root"},
            text_list(s.allow_users));
  flags.add({"allow-group", "NAME", "whose members may ask the daemon"}, text_list(s.allow_groups));
  flags.add({"json", "", "print JSON"}, boolean(s.json));
  flags.set_epilogue(
      "without a verb  processor, memory, cards, instances, processes\n"
      "mig list | profiles | enable | disable | create PROFILE… | destroy INSTANCE…\n"
      "                PROFILE: 1g.5gb, 3g.20gb@4 (memory slice), 1c.3g.20gb (part of\n"
      "                one), 3*1g.5gb, or `7 equal`; INSTANCE: all, id, 3g.20gb@4, UUID\n"
      "apply FILE      cut the cards as the file says: sheaf's or mig-parted's format\n"
      "assert FILE     say how they differ; exit code 1 if they do\n"
      "export          print the present cut as such a file\n"
      "check           can cards be cut, can they run sheaf, what is wrong\n"
      "env SLICE       environment, docker, CDI, Kubernetes and Slurm forms of a slice\n"
      "env kubernetes | slurm   device plugin's configuration, gres.conf: for all\n"
      "try MODEL       load and run it once on each card and MIG slice\n"
      "lease …         a slice for one task, for a time: sheaf slices lease --help\n"
      "mps …           programs at the same time on a card: sheaf slices mps --help\n"
      "daemon          the privileged helper that does all this for others\n"
      "Cards outside CUDA_VISIBLE_DEVICES are listed and marked. SHEAF_NVML names\n"
      "another libnvidia-ml.so.1, SHEAF_SLICES_FOLDER another folder.\n"
      "exit codes: 0 done, 1 failed or a reset is owed, 2 wrong usage; check: 0 well,\n"
      "1 warnings, 2 errors\n"
      "example: sheaf slices mig create --gpu 0 7 equal\n");
  return flags;
}

int show(const SlicesSettings& settings) {
  auto here = look_at_slices();
  if (!here.ok()) return fail("slices", here.error());
  // What is damaged there is told by who leases or starts MPS, and hides nothing else.
  if (auto leases = slices::list_leases(settings.folder); leases.ok())
    here->leases = std::move(*leases);
  if (auto daemons = slices::kept_mps(settings.folder); daemons.ok())
    here->mps = std::move(*daemons);
  if (settings.json)
    fmt::print("{}\n", facts_of(*here).dump(2, ' ', false,
                                            nlohmann::ordered_json::error_handler_t::replace));
  else
    fmt::print("{}", tree_of(*here));
  return kExitOk;
}

struct SlicesVerb {
  std::string_view name;
  int (*run)(const SlicesSettings&);
  bool takes_words;
};
constexpr SlicesVerb kSlicesVerbs[] = {
    {"mig", slices_mig, true},       {"apply", slices_apply, true},
    {"assert", slices_assert, true}, {"export", slices_export, false},
    {"check", slices_check, false},  {"env", slices_env, true},
    {"try", slices_try, true},       {"daemon", slices_daemon, false},
};

int run_verb_of_slices(SlicesSettings& settings) {
  if (settings.words.empty()) return show(settings);
  const std::string name = settings.words.front();
  settings.words.erase(settings.words.begin());
  for (const SlicesVerb& verb : kSlicesVerbs) {
    if (verb.name != name) continue;
    if (verb.takes_words || settings.words.empty()) return verb.run(settings);
    return fail("slices", usage_error(fmt::format("{} takes no argument", name)), kExitUsage);
  }
  if (name == "lease" || name == "mps")
    return fail("slices", usage_error(fmt::format("flags come behind {}", name)), kExitUsage);
  return fail("slices",
              usage_error(fmt::format("'{}' is not one of mig, apply, assert, export, check, env, "
                                      "try, lease, mps, daemon",
                                      name)),
              kExitUsage);
}

}  // namespace

int slices_command(Arguments arguments) {
  if (!arguments.empty() && arguments[0] == "lease") return slices_lease(arguments.subspan(1));
  if (!arguments.empty() && arguments[0] == "mps") return slices_mps(arguments.subspan(1));
  SlicesSettings settings;
  settings.folder = slices::default_slices_folder();
  FlagSet flags = flags_for(settings);
  if (const auto done = take_client_flags("slices", flags, arguments)) return *done;
  return run_verb_of_slices(settings);
}

}  // namespace sheaf::cli
