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

void add_cards(FlagSet& flags, SlicesSettings& s) {
  flags.add({"gpu", "N|UUID", "the cards; several, or all"}, text_list(s.gpus));
}
void add_folder(FlagSet& flags, SlicesSettings& s) {
  flags.add({"folder", "DIR", "of lock, journal and helper", "", "/run/sheaf-slices"},
            text(s.folder));
}
void add_json(FlagSet& flags, SlicesSettings& s) {
  flags.add({"json", "", "print JSON"}, boolean(s.json));
}
// Of verbs that change cards.
void add_change(FlagSet& flags, SlicesSettings& s) {
  flags.add({"drain", "", "sheaf's own replicas move away first"}, boolean(s.drain));
  flags.add({"wait", "T", "for another's change, or for replicas to go"}, duration(s.wait_us));
  add_folder(flags, s);
  add_json(flags, s);
}
void add_label(FlagSet& flags, SlicesSettings& s) {
  flags.add({"label", "L", "which of mig-parted's mig-configs", "", "the only one"}, text(s.label));
}

void add_mig(FlagSet& flags, SlicesSettings& s) {
  add_cards(flags, s);
  flags.add({"repartition", "", "create may move idle instances"}, boolean(s.repartition));
  flags.add({"model", "CARD", "profiles of a card that is not here: h200-141"}, text(s.model));
  add_change(flags, s);
}
void add_apply(FlagSet& flags, SlicesSettings& s) {
  add_label(flags, s);
  add_change(flags, s);
}
void add_export(FlagSet& flags, SlicesSettings& s) {
  flags.add({"format", "F", "sheaf's or mig-parted's"}, choice(s.format, {"sheaf", "mig-parted"}));
}
void add_env(FlagSet& flags, SlicesSettings& s) {
  flags.add({"sharing", "S", "of kubernetes, slurm: none, mps, time"},
            choice(s.sharing, {"none", "mps", "time"}));
  flags.add({"replicas", "N", "so many share each card or slice then"},
            whole_number(s.replicas, 2, 48));
  add_json(flags, s);
}
void add_daemon(FlagSet& flags, SlicesSettings& s) {
  flags.add({"allow-user", "NAME", "who may ask it besides root; several"},
            text_list(s.allow_users));
  flags.add({"allow-group", "NAME", "whose members may ask it; several"},
            text_list(s.allow_groups));
  add_folder(flags, s);
}
void add_overview(FlagSet& flags, SlicesSettings& s) {
  add_folder(flags, s);
  add_json(flags, s);
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
  std::string_view name;   // empty: `sheaf slices` itself
  std::string_view words;  // behind it; empty: it takes none
  std::string_view summary;
  void (*add_flags)(FlagSet&, SlicesSettings&);
  int (*run)(const SlicesSettings&);
  std::string_view epilogue;
};
constexpr SlicesVerb kSlicesVerbs[] = {
    {"", "", "What this machine has: processor, memory, cards, instances, who uses them.",
     add_overview, show,
     "mig      cut cards into slices: list, profiles, enable, create, destroy, …\n"
     "apply    cut the cards as a file says\n"
     "assert   say how they differ from a file\n"
     "export   print the present cut as such a file\n"
     "check    can cards be cut, can they run sheaf, what is wrong\n"
     "env      environment, docker, CDI, Kubernetes and Slurm forms of a slice\n"
     "try      load and run a model once on each card and MIG slice\n"
     "lease    a slice for one task, for a time\n"
     "mps      programs at the same time on a card\n"
     "daemon   the privileged helper that does all this for others\n"
     "More of each: sheaf slices VERB --help. Cards outside CUDA_VISIBLE_DEVICES are\n"
     "listed and marked. SHEAF_NVML names another libnvidia-ml.so.1,\n"
     "SHEAF_SLICES_FOLDER another folder.\n"
     "example: sheaf slices mig create --gpu 0 7 equal\n"},
    {"mig", "VERB [WORDS]", "Cuts cards into MIG slices, and shows how they are cut.", add_mig,
     slices_mig,
     "list              the slices that there are\n"
     "profiles          what a card offers, and what it has room for\n"
     "enable, disable   MIG as such\n"
     "create PROFILE…   1g.5gb, 3g.20gb@4 (memory slice), 1c.3g.20gb (part of one),\n"
     "                  3*1g.5gb, or `7 equal`\n"
     "destroy INSTANCE… all, an id, 3g.20gb@4, a UUID\n"
     "exit codes: 0 done, 1 failed or a reset is owed, 2 wrong usage\n"
     "example: sheaf slices mig create --gpu 0 7 equal\n"},
    {"apply", "FILE", "Cuts the cards as a file says: sheaf's format or mig-parted's.", add_apply,
     slices_apply,
     "Nothing is touched before the whole file is found possible; a failure undoes\n"
     "what was done.\n"
     "exit codes: 0 done, 1 failed or a reset is owed, 2 wrong usage\n"
     "example: sheaf slices apply cut.yaml --drain\n"},
    {"assert", "FILE", "Says how the cards differ from a file; changes nothing.", add_label,
     slices_assert,
     "exit codes: 0 they do not, 1 they do or it failed, 2 wrong usage\n"
     "example: sheaf slices assert cut.yaml\n"},
    {"export", "", "Prints the present cut as a file that apply takes.", add_export, slices_export,
     "example: sheaf slices export --format mig-parted > cut.yaml\n"},
    {"check", "", "Can cards be cut, can they run sheaf, and what is wrong.", add_json,
     slices_check,
     "exit codes: 0 well, 1 warnings, 2 errors\n"
     "example: sheaf slices check\n"},
    {"env", "SLICE|kubernetes|slurm", "How others say a slice: for programs, containers, clusters.",
     add_env, slices_env,
     "SLICE        gpu:0, mig:0/3 (card, GPU instance), 0:1 (card, MIG index), a UUID:\n"
     "             its environment, docker run, CDI, Kubernetes, Slurm\n"
     "cores:0-1    taskset, docker run, Slurm\n"
     "kubernetes   the device plugin's configuration for all that is here\n"
     "slurm        gres.conf for all that is here\n"
     "example: sheaf slices env kubernetes --sharing mps --replicas 4\n"},
    {"try", "MODEL", "Loads and runs a model once on each card and MIG slice.", add_json,
     slices_try, "example: sheaf slices try all-MiniLM-L6-v2\n"},
    {"daemon", "", "The privileged helper: the only one that cuts cards, for whom it allows.",
     add_daemon, slices_daemon, "example: sheaf slices daemon --allow-group gpu\n"},
};

int run_slices_verb(const SlicesVerb& verb, Arguments arguments) {
  SlicesSettings settings;
  settings.folder = slices::default_slices_folder();
  const std::string behind = verb.words.empty() ? "" : fmt::format(" {}", verb.words);
  FlagSet flags(verb.name.empty() ? "sheaf slices [VERB …] [flags]"
                                  : fmt::format("sheaf slices {}{} [flags]", verb.name, behind),
                std::string(verb.summary));
  flags.add_positional("WORDS", settings.words);
  verb.add_flags(flags, settings);
  flags.set_epilogue(std::string(verb.epilogue));
  if (const auto done = take_client_flags("slices", flags, arguments)) return *done;
  if (verb.words.empty() && !settings.words.empty())
    return fail(
        "slices",
        usage_error(verb.name.empty()
                        ? fmt::format("the verb comes first: sheaf slices {} …", settings.words[0])
                        : fmt::format("{} takes no argument", verb.name)),
        kExitUsage);
  return verb.run(settings);
}

}  // namespace

int slices_command(Arguments arguments) {
  const bool has_verb = !arguments.empty() && !arguments[0].starts_with('-');
  const std::string_view name = has_verb ? std::string_view(arguments[0]) : "";
  const Arguments rest = arguments.subspan(has_verb ? 1 : 0);
  if (name == "lease") return slices_lease(rest);
  if (name == "mps") return slices_mps(rest);
  for (const SlicesVerb& verb : kSlicesVerbs)
    if (verb.name == name) return run_slices_verb(verb, rest);
  return fail("slices",
              usage_error(fmt::format("'{}' is not one of mig, apply, assert, export, check, env, "
                                      "try, lease, mps, daemon",
                                      name)),
              kExitUsage);
}

}  // namespace sheaf::cli
