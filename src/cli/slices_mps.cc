#include <fmt/format.h>

#include "base/text.h"
#include "cli/client_flags.h"
#include "cli/command.h"
#include "cli/flag_set.h"
#include "cli/slices_verbs.h"
#include "slices/mps_json.h"
#include "slices/mps_request.h"

// `sheaf slices mps`: programs that compute on a card at the same time.
namespace sheaf::cli {
namespace {

using slices::MpsRequest;
using slices::MpsView;

struct MpsFlags {
  std::vector<std::string> words;
  MpsRequest request;
  std::string folder;
  bool json = false;
};

FlagSet mps_flags(MpsFlags& s) {
  FlagSet flags("sheaf slices mps start|stop|list [flags]",
                "NVIDIA's MPS on a card or MIG slice: its clients compute at the same time.");
  flags.add_positional("VERB", s.words);
  flags.add({"gpu", "N|UUID", "card, or 0:1 for its MIG slice; several, or all"},
            text_list(s.request.places));
  flags.add({"thread-percentage", "P", "of multiprocessors that a client may use"},
            whole_number(s.request.settings.thread_percentage, 1, 100));
  flags.add({"memory-limit", "BYTES", "of the card for each client process", "", "none"},
            byte_count(s.request.settings.memory_limit_bytes));
  flags.add({"force", "", "stop one that has clients"}, boolean(s.request.force));
  flags.add({"folder", "DIR", "of lock, daemons and helper", "", "/run/sheaf-slices"},
            text(s.folder));
  flags.add({"json", "", "print JSON"}, boolean(s.json));
  flags.set_epilogue(
      "start  one daemon for each, with folders of its own; prints what its clients\n"
      "       need in their environment. Started already: its settings change\n"
      "stop   refused while it has clients\n"
      "list   daemons, servers, clients, and what befell them last\n"
      "Clients share their daemon's fate and each other's faults. Through `sheaf\n"
      "slices daemon` where it listens, which starts again what dies or hangs.\n"
      "SHEAF_MPS_CONTROL names another nvidia-cuda-mps-control.\n"
      "exit codes: 0 done, 1 failed, 2 wrong usage\n"
      "example: sheaf slices mps start --gpu 0 --thread-percentage 50\n");
  return flags;
}

std::vector<std::string> environment_for(const std::string& folder, const MpsView& view) {
  const slices::MpsDaemon& daemon = view.daemon;
  return slices::mps_client_environment(folder, daemon.uuid, daemon.settings.thread_percentage,
                                        daemon.settings.memory_limit_bytes);
}

void print_daemon(const MpsView& view) {
  const slices::MpsDaemon& daemon = view.daemon;
  fmt::print("{}: {}, process {}, {} % of threads{}, started {} time{}\n", daemon.text, view.state,
             daemon.process.pid, daemon.settings.thread_percentage,
             daemon.settings.memory_limit_bytes == 0
                 ? ""
                 : ", " + slices::mps_memory_text(daemon.settings.memory_limit_bytes) + " a client",
             daemon.generation, daemon.generation == 1 ? "" : "s");
  for (const slices::MpsServer& server : view.servers)
    fmt::print("  server {} {}: {}\n", server.pid, server.status,
               server.clients.empty() ? "no clients"
                                      : fmt::format("clients {}", fmt::join(server.clients, ", ")));
  if (!daemon.last.what.empty())
    fmt::print("  last: {}; to start again: {}\n", daemon.last.what,
               daemon.last.clients.empty()
                   ? "nobody"
                   : fmt::format("{}", fmt::join(daemon.last.clients, ", ")));
}

nlohmann::ordered_json facts_of_daemon(const std::string& folder, const MpsView& view) {
  const slices::MpsDaemon& daemon = view.daemon;
  auto servers = nlohmann::ordered_json::array();
  for (const slices::MpsServer& server : view.servers)
    servers.push_back(
        {{"pid", server.pid}, {"status", server.status}, {"clients", server.clients}});
  return {{"uuid", daemon.uuid},
          {"text", daemon.text},
          {"state", view.state},
          {"pid", daemon.process.pid},
          {"thread_percentage", daemon.settings.thread_percentage},
          {"memory_limit_bytes", daemon.settings.memory_limit_bytes},
          {"generation", daemon.generation},
          {"servers", servers},
          {"last_event",
           {{"what", daemon.last.what},
            {"at_unix_s", daemon.last.at_unix_s},
            {"clients", daemon.last.clients}}},
          {"environment", environment_for(folder, view)}};
}

void print_report(const MpsFlags& settings, const slices::MpsReport& report) {
  if (settings.json) {
    auto daemons = nlohmann::ordered_json::array();
    for (const MpsView& view : report.daemons)
      daemons.push_back(facts_of_daemon(settings.folder, view));
    fmt::print("{}\n",
               nlohmann::ordered_json{{"daemons", daemons}, {"notes", report.notes}}.dump(2));
    return;
  }
  if (report.daemons.empty()) fmt::print("MPS runs nowhere\n");
  for (const MpsView& view : report.daemons) {
    print_daemon(view);
    if (settings.request.verb == MpsRequest::Verb::start)
      for (const std::string& entry : environment_for(settings.folder, view))
        fmt::print("  {}\n", entry);
  }
  for (const std::string& note : report.notes) fmt::print("{}\n", note);
}

}  // namespace

int slices_mps(Arguments arguments) {
  MpsFlags settings;
  settings.folder = slices::default_slices_folder();
  FlagSet flags = mps_flags(settings);
  if (const auto done = take_client_flags("slices", flags, arguments)) return *done;
  const std::string verb = settings.words.empty() ? "list" : settings.words[0];
  if (settings.words.size() > 1 || (verb != "start" && verb != "stop" && verb != "list"))
    return fail("slices",
                usage_error(fmt::format("'mps {}' is not one of start, stop, list; the card is "
                                        "--gpu",
                                        fmt::join(settings.words, " "))),
                kExitUsage);
  settings.request.verb = verb == "start"  ? MpsRequest::Verb::start
                          : verb == "stop" ? MpsRequest::Verb::stop
                                           : MpsRequest::Verb::list;
  if (verb == "stop" && settings.request.places.empty())
    return fail("slices", usage_error("stop which? --gpu N, or --gpu all"), kExitUsage);
  const auto report = slices::request_mps(settings.folder, settings.request);
  if (!report.ok())
    return fail("slices", report.error(),
                report.error().code == ErrorCode::invalid_argument ? kExitUsage : kExitFailed);
  print_report(settings, *report);
  return kExitOk;
}

}  // namespace sheaf::cli
