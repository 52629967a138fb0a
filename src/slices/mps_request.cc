#include "slices/mps_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "slices/gpu_place.h"
#include "slices/helper_socket.h"
#include "slices/mps_json.h"

namespace sheaf::slices {
namespace {

using MpsVerb = MpsRequest::Verb;

constexpr std::array<std::string_view, 3> kMpsVerbs{"start", "stop", "list"};
constexpr int kMpsLockWaitMs = 60'000;
constexpr int kMpsRequestMs = 120'000;  // several daemons start one after the other
constexpr int kLookMs = 2000;
constexpr unsigned kExclusiveProcess = 3;  // NVML's compute mode

// Where MPS is to run, or runs.
struct MpsPlace {
  std::string uuid, text;
  std::string note;
  std::uint64_t memory_bytes = 0;
};

std::string note_on(const GpuPlace& place) {
  if (place.is_mig() || place.gpu->compute_mode == kExclusiveProcess) return "";
  return fmt::format(
      "GPU {} takes programs beside MPS too, and then in turns: `nvidia-smi -i {} -c "
      "EXCLUSIVE_PROCESS` keeps them out",
      place.gpu->index, place.gpu->index);
}

Result<GpuPlace> chosen_place(const std::vector<Gpu>& gpus, const std::string& word) {
  SHEAF_ASSIGN(const GpuPlace place, find_place(gpus, word));
  if (place.is_mig() || !place.gpu->mig || !place.gpu->mig->current) return place;
  return Error{ErrorCode::invalid_argument,
               fmt::format("GPU {} is in MIG mode: MPS runs on its slices, {}:0, {}:1, …",
                           place.gpu->index, place.gpu->index, place.gpu->index)};
}

Result<std::vector<MpsPlace>> places_to_start(const std::vector<std::string>& words) {
  SHEAF_ASSIGN(const Nvml nvml, Nvml::open());
  SHEAF_ASSIGN(const GpuInventory inventory, read_gpus(nvml, nullptr));
  std::vector<GpuPlace> places = usable_places(inventory.gpus);
  if (words.empty() && places.size() != 1)
    return Error{ErrorCode::invalid_argument,
                 fmt::format("there are {} cards and slices: name one with --gpu, or --gpu all",
                             places.size())};
  if (!words.empty() && words.front() != "all") {
    places.clear();
    for (const std::string& word : words) {
      SHEAF_ASSIGN(const GpuPlace place, chosen_place(inventory.gpus, word));
      places.push_back(place);
    }
  }
  std::vector<MpsPlace> chosen;
  for (const GpuPlace& place : places)
    chosen.push_back({place.uuid(), place.text(), note_on(place), place.memory_bytes()});
  return chosen;
}

// By the words they were started by, which NVML may no longer know.
Result<std::vector<MpsDaemon>> chosen_daemons(const std::string& folder,
                                              const std::vector<std::string>& words) {
  SHEAF_ASSIGN(const auto kept, kept_mps(folder));
  if (words.empty() || words.front() == "all") return kept;
  std::vector<MpsDaemon> chosen;
  for (const std::string& word : words) {
    auto found = std::ranges::find_if(kept, [&](const MpsDaemon& daemon) {
      return daemon.uuid == word || daemon.text == "GPU " + word;
    });
    if (found == kept.end()) {
      SHEAF_ASSIGN(const auto places, places_to_start({word}));
      found = std::ranges::find(kept, places.front().uuid, &MpsDaemon::uuid);
    }
    if (found == kept.end())
      return Error{ErrorCode::not_found, fmt::format("MPS was not started on {}", word)};
    chosen.push_back(*found);
  }
  return chosen;
}

Status check_limit(const MpsPlace& place, const MpsSettings& settings) {
  if (settings.memory_limit_bytes <= place.memory_bytes) return {};
  return Error{ErrorCode::invalid_argument,
               fmt::format("{} has {} of memory; a limit of {} a client would limit nothing",
                           place.text, mps_memory_text(place.memory_bytes),
                           mps_memory_text(settings.memory_limit_bytes))};
}

Result<MpsReport> start_all(const std::string& folder, const MpsRequest& request) {
  SHEAF_ASSIGN(const auto places, places_to_start(request.places));
  for (const MpsPlace& place : places) SHEAF_TRY(check_limit(place, request.settings));
  SHEAF_ASSIGN(MigJournal journal, MigJournal::open(folder, kMpsLockWaitMs, "sheaf slices mps"));
  MpsReport report;
  for (const MpsPlace& place : places) {
    SHEAF_ASSIGN(MpsDaemon daemon, start_mps(journal, place.uuid, place.text, request.settings));
    report.daemons.push_back({std::move(daemon), "running"});
    if (!place.note.empty()) report.notes.push_back(place.note);
  }
  return report;
}

Result<MpsReport> stop_all(const std::string& folder, const MpsRequest& request) {
  SHEAF_ASSIGN(MigJournal journal, MigJournal::open(folder, kMpsLockWaitMs, "sheaf slices mps"));
  SHEAF_ASSIGN(const auto daemons, chosen_daemons(folder, request.places));
  MpsReport report;
  for (const MpsDaemon& daemon : daemons) {
    SHEAF_TRY(stop_mps(journal, daemon.uuid, request.force));
    report.daemons.push_back({daemon, "stopped"});
  }
  return report;
}

Result<MpsReport> list_all(const std::string& folder, const MpsRequest& request) {
  SHEAF_ASSIGN(const auto daemons, chosen_daemons(folder, request.places));
  MpsReport report;
  for (const MpsDaemon& daemon : daemons)
    report.daemons.push_back(look_at_mps(folder, daemon, kLookMs));
  return report;
}

}  // namespace

std::string to_text(const MpsRequest& request) {
  const nlohmann::json json = {{"about", "mps"},
                               {"verb", kMpsVerbs[static_cast<std::size_t>(request.verb)]},
                               {"places", request.places},
                               {"settings", request.settings},
                               {"force", request.force}};
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Result<MpsRequest> parse_mps_request(const std::string& text) {
  try {
    const auto json = nlohmann::json::parse(text);
    MpsRequest request;
    const auto verb = std::ranges::find(kMpsVerbs, json.at("verb").get<std::string>());
    if (verb == kMpsVerbs.end())
      return Error{ErrorCode::invalid_argument, "that is no verb of MPS"};
    request.verb = static_cast<MpsVerb>(verb - kMpsVerbs.begin());
    json.at("places").get_to(request.places);
    json.at("settings").get_to(request.settings);
    json.at("force").get_to(request.force);
    return request;
  } catch (const nlohmann::json::exception& thrown) {
    return Error{ErrorCode::invalid_argument,
                 fmt::format("not a request for MPS: {}", thrown.what())};
  }
}

std::string to_text(const MpsReport& report) {
  const nlohmann::json json = {{"daemons", report.daemons}, {"notes", report.notes}};
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Result<MpsReport> carry_out_mps(const std::string& folder, const MpsRequest& request) {
  switch (request.verb) {
    case MpsVerb::start:
      return start_all(folder, request);
    case MpsVerb::stop:
      return stop_all(folder, request);
    case MpsVerb::list:
      return list_all(folder, request);
  }
  return MpsReport();
}

Result<MpsReport> request_mps(const std::string& folder, const MpsRequest& request) {
  SHEAF_ASSIGN(const auto text, ask_helper(folder, to_text(request), kMpsRequestMs));
  if (!text) {
    SHEAF_ASSIGN(MpsReport report, carry_out_mps(folder, request));
    if (request.verb == MpsVerb::start)
      report.notes.push_back(
          "nobody watches it: `sheaf slices daemon` starts it again when it dies or hangs");
    return report;
  }
  try {
    const auto json = nlohmann::json::parse(*text);
    MpsReport report;
    json.at("daemons").get_to(report.daemons);
    json.at("notes").get_to(report.notes);
    return report;
  } catch (const nlohmann::json::exception& thrown) {
    return Error{ErrorCode::corrupt, fmt::format("the helper's answer: {}", thrown.what())};
  }
}

}  // namespace sheaf::slices
