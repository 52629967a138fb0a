#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "base/text.h"
#include "cli/client_flags.h"
#include "cli/command.h"
#include "cli/flag_set.h"
#include "cli/leased_command.h"
#include "cli/slices_verbs.h"
#include "cli/table.h"
#include "slices/lease_json.h"
#include "slices/lease_request.h"
#include "slices/slice.h"

// `sheaf slices lease`: a slice for one task, for a time.
namespace sheaf::cli {
namespace {

using slices::Lease;
using slices::LeaseRequest;
using LeaseVerb = LeaseRequest::Verb;

struct LeaseSettings {
  std::vector<std::string> words;    // the verb and what it is about
  std::vector<std::string> command;  // behind --
  slices::LeaseNeed need;
  std::string task;
  TimeUs ttl_us = 0;
  bool has_ttl = false;  // else the default, or as before
  TimeUs wait_us = 0;
  std::uint32_t holder = 0;
  std::string folder;
  bool drain = false;
  bool json = false;
};

FlagSet lease_flags(LeaseSettings& s) {
  FlagSet flags("sheaf slices lease VERB … [flags] [-- COMMAND…]",
                "A slice for one task, for a time: nobody else is given it meanwhile.");
  flags.add_positional("VERB", s.words);
  flags.add_group("acquire");
  flags.add({"kind", "K", "cores, gpu or mig", "", "a card or MIG slice"}, text(s.need.kind));
  flags.add({"profile", "P", "of a MIG slice: 1g.5gb"}, text(s.need.profile));
  flags.add({"memory", "BYTES", "that it has at least", "", "any"},
            byte_count(s.need.memory_bytes));
  flags.add({"cores", "N", "so many cores", "", "none"}, whole_number(s.need.cores, 0, 65536));
  flags.add({"shared", "", "with others that say so, as sheaf serve does"}, boolean(s.need.shared));
  flags.add({"drain", "", "while it waits, replicas of sheaf serve move away"}, boolean(s.drain));
  flags.add({"task", "ID", "the same task again gets the same lease"}, text(s.task));
  flags.add({"wait", "T", "while none is free; first come, first served", "", "0s"},
            duration(s.wait_us));
  flags.add({"holder", "PID", "whose end ends the lease", "", "COMMAND, or none"},
            whole_number(s.holder, 0, 1u << 30));
  flags.add_group("all");
  flags.add({"ttl", "T", "from its last renewal on", "", "60s, or as before"}, duration(s.ttl_us));
  flags.add({"folder", "DIR", "of table, lock and helper", "", "/run/sheaf-slices"},
            text(s.folder));
  flags.add({"json", "", "print JSON"}, boolean(s.json));
  flags.set_epilogue(
      "acquire [SLICE]  SLICE: gpu:0, mig:0/5 (card, GPU instance), 0:1 (card, MIG\n"
      "                 index), a UUID, cores:0-3; or what it must be, by flags.\n"
      "                 Prints its environment; with COMMAND runs it there, renews\n"
      "                 the lease and releases it at the end, as flock does\n"
      "renew ID         for its time again, or for --ttl\n"
      "release ID\n"
      "list             what is leased, to whom, for how long\n"
      "A lease ends by release, by time, or with its holder. Through `sheaf slices\n"
      "daemon` where it listens.\n"
      "exit codes: 0 done, 1 failed or none free, 2 wrong usage; COMMAND's own, 128 +\n"
      "the number of the signal that ended it, 127 where it cannot be started\n"
      "example: sheaf slices lease acquire --profile 1g.5gb --wait 60s -- ./train\n");
  return flags;
}

int refuse_lease(const Error& error) {
  const bool usage = error.code == ErrorCode::invalid_argument;
  return fail("slices", error, usage ? kExitUsage : kExitFailed);
}

void print_lease(const Lease& lease, bool json) {
  if (json) {
    fmt::print("{}\n", facts_of(lease).dump(2));
    return;
  }
  for (const std::string& entry : environment_of(lease)) fmt::print("{}\n", entry);
  fmt::print("# {}: {}\n", lease.slice.text, describe(lease));
}

// Cores that this process may use; the helper's own set may be another.
std::vector<int> own_cpus() {
  std::vector<int> cpus;
  if (const auto machine = slices::detect_machine(); machine.ok())
    for (const slices::Core& core : machine->cores) cpus.push_back(core.cpu);
  std::ranges::sort(cpus);
  return cpus;
}

LeaseRequest acquire_request(const LeaseSettings& settings) {
  LeaseRequest request;
  request.need = settings.need;
  if (settings.words.size() == 2) request.need.slice = settings.words[1];
  request.task_id = settings.task;
  request.wait_ms = settings.wait_us / 1000;
  if (settings.has_ttl) request.ttl_ms = settings.ttl_us / 1000;
  request.drain = settings.drain;
  if (settings.holder != 0) request.holder = static_cast<pid_t>(settings.holder);
  if (!settings.command.empty()) request.holder = LeaseRequest::kAsker;
  if (const char* visible = std::getenv("CUDA_VISIBLE_DEVICES")) request.visible_devices = visible;
  request.cpus = own_cpus();
  return request;
}

int acquire(const LeaseSettings& settings) {
  if (settings.words.size() > 2) return refuse_lease(usage_error("acquire takes one slice"));
  if (settings.holder != 0 && !settings.command.empty())
    return refuse_lease(
        usage_error("with a command, it is that which holds the lease: no --holder"));
  const auto lease = acquire_lease(settings.folder, acquire_request(settings));
  if (!lease.ok()) return refuse_lease(lease.error());
  if (!settings.command.empty()) return run_leased(settings.folder, *lease, settings.command);
  print_lease(*lease, settings.json);
  return kExitOk;
}

int touch(const LeaseSettings& settings, LeaseVerb verb) {
  if (settings.words.size() != 2)
    return refuse_lease(usage_error(
        fmt::format("{} takes one lease: `sheaf slices lease list`", settings.words[0])));
  LeaseRequest request{.verb = verb};
  request.lease = settings.words[1];
  if (verb == LeaseVerb::renew && settings.has_ttl) request.ttl_ms = settings.ttl_us / 1000;
  const auto answer = request_lease(settings.folder, request);
  if (!answer.ok()) return refuse_lease(answer.error());
  if (verb == LeaseVerb::renew) print_lease(*answer->lease, settings.json);
  return kExitOk;
}

int list_leased(const LeaseSettings& settings) {
  const auto leases = slices::list_leases(settings.folder);
  if (!leases.ok()) return refuse_lease(leases.error());
  if (settings.json) {
    auto json = nlohmann::ordered_json::array();
    for (const Lease& lease : *leases) json.push_back(facts_of(lease));
    fmt::print("{}\n", json.dump(2));
    return kExitOk;
  }
  if (leases->empty()) {
    fmt::print("nothing is leased\n");
    return kExitOk;
  }
  Table table(
      {{"lease", true}, {"slice", true}, {"task", true}, {"user"}, {"holder"}, {"ends in"}});
  for (const Lease& lease : *leases)
    table.add_row({lease.id, lease.slice.text, excerpt(lease.task_id, 30),
                   std::to_string(lease.owner.user),
                   lease.holder.pid == 0 ? "-" : std::to_string(lease.holder.pid),
                   fmt::format("{} s", (lease.ends_ms - slices::boot_ms()) / 1000)});
  fmt::print("{}", table.render());
  return kExitOk;
}

}  // namespace

int slices_lease(Arguments arguments) {
  LeaseSettings settings;
  settings.folder = slices::default_slices_folder();
  const auto behind = std::ranges::find(arguments, "--");
  const auto own = static_cast<std::size_t>(behind - arguments.begin());
  if (behind != arguments.end()) settings.command.assign(behind + 1, arguments.end());
  FlagSet flags = lease_flags(settings);
  if (const auto done = take_client_flags("slices", flags, arguments.first(own))) return *done;
  settings.has_ttl = flags.given("ttl").has_value();
  const std::string verb = settings.words.empty() ? "list" : settings.words[0];
  if (behind != arguments.end() && (verb != "acquire" || settings.command.empty()))
    return refuse_lease(usage_error("behind -- stands the command that acquire is to run"));
  if (verb == "acquire") return acquire(settings);
  if (verb == "renew") return touch(settings, LeaseVerb::renew);
  if (verb == "release") return touch(settings, LeaseVerb::release);
  if (verb == "list" && settings.words.size() <= 1) return list_leased(settings);
  return refuse_lease(
      usage_error(fmt::format("'lease {}' is not one of acquire, renew, release, list", verb)));
}

}  // namespace sheaf::cli
