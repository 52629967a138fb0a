#include "slices/mig_change.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/text.h"

namespace sheaf::slices {
namespace {

using Kind = MigStep::Kind;

// Handles are found anew for each step: they die with their instances.
Result<abi::GpuInstance> find_instance(const Nvml& nvml, abi::Device device,
                                       const InstanceState& instance) {
  SHEAF_ASSIGN(const auto profiles, nvml.gpu_profiles(device));
  for (const NvmlGpuProfile& profile : profiles) {
    if (profile.info.id != instance.profile_id) continue;
    SHEAF_ASSIGN(const auto live, nvml.gpu_instances(device, profile));
    for (const Nvml::LiveGpuInstance& one : live)
      if (one.info.placement.start == instance.start) return one.handle;
  }
  return Error{ErrorCode::not_found, fmt::format("there is no {} at memory slice {} any more",
                                                 instance.name, instance.start)};
}

Status destroy_compute(const Nvml& nvml, abi::GpuInstance instance, const ComputeState& compute) {
  SHEAF_ASSIGN(const auto profiles, nvml.compute_profiles(instance));
  for (const abi::ComputeInstanceProfileInfo& profile : profiles) {
    if (profile.id != compute.profile_id) continue;
    SHEAF_ASSIGN(const auto live, nvml.compute_instances(instance, profile));
    for (const Nvml::LiveComputeInstance& one : live)
      if (one.info.placement.start == compute.start)
        return nvml.destroy_compute_instance(one.handle);
  }
  return Error{ErrorCode::not_found, "that compute instance is not there any more"};
}

// What became of a mode that was asked for: nothing to say, or what it takes.
std::optional<std::string> owed_for(const CardState& card, bool mig, abi::Return activation) {
  if (activation == abi::kSuccess) return std::nullopt;
  return fmt::format("GPU {}: MIG will be {} after a reset ({} now): {}", card.gpu,
                     mig ? "on" : "off", abi::text_of(activation), how_to_reset(card.gpu));
}

class Changer {
 public:
  Changer(const Nvml& nvml, MigJournal& journal, ChangeReport& report)
      : nvml_(nvml), journal_(journal), report_(report) {}

  Status go(const CardState& from, const CardState& to) {
    SHEAF_ASSIGN(const abi::Device device, nvml_.device_by_uuid(to.uuid));
    const std::vector<MigStep> steps = steps_between(from, to);
    for (std::size_t i = 0; i < steps.size(); ++i) {
      const std::string text = fmt::format("GPU {}: {}", to.gpu, steps[i].text());
      SHEAF_TRY(journal_.note_step(text));
      if (const Status made = make(device, to, steps[i], i + 1 == steps.size()); !made.ok())
        return Error{made.error().code, fmt::format("step {} of {}, {}: {}", i + 1, steps.size(),
                                                    text, made.error().message)};
      report_.steps.push_back(text);
    }
    return {};
  }

 private:
  Status make(abi::Device device, const CardState& to, const MigStep& step, bool last) {
    if (step.kind == Kind::set_mode) return set_mode(device, to, step.mig, last);
    if (step.kind == Kind::create_instance)
      return status_of(nvml_.create_gpu_instance(device, step.instance.profile_id,
                                                 {step.instance.start, step.instance.size}));
    SHEAF_ASSIGN(const abi::GpuInstance instance, find_instance(nvml_, device, step.instance));
    if (step.kind == Kind::destroy_instance) return nvml_.destroy_gpu_instance(instance);
    if (step.kind == Kind::destroy_compute) return destroy_compute(nvml_, instance, step.compute);
    return status_of(nvml_.create_compute_instance(
        instance, step.compute.profile_id, abi::Placement{step.compute.start, step.compute.size}));
  }

  Status set_mode(abi::Device device, const CardState& card, bool mig, bool last) {
    SHEAF_ASSIGN(const abi::Return activation, nvml_.set_mig_mode(device, mig));
    const auto owed = owed_for(card, mig, activation);
    if (!owed) return {};
    if (!last) return Error{ErrorCode::unavailable, *owed};
    report_.owed.push_back(*owed);
    return {};
  }

  template <class Value>
  static Status status_of(const Result<Value>& result) {
    if (result.ok()) return {};
    return result.error();
  }

  const Nvml& nvml_;
  MigJournal& journal_;
  ChangeReport& report_;
};

Result<Gpu> gpu_with_uuid(const Nvml& nvml, const std::string& uuid) {
  SHEAF_ASSIGN(const unsigned count, nvml.device_count());
  for (unsigned index = 0; index < count; ++index) {
    SHEAF_ASSIGN(const abi::Device device, nvml.device(index));
    SHEAF_ASSIGN(const std::string found, nvml.uuid(device));
    if (found == uuid) return read_gpu(nvml, index);
  }
  return Error{ErrorCode::not_found, fmt::format("the card {} is not there any more", uuid)};
}

Status put_back(const Nvml& nvml, MigJournal& journal, const CardState& before,
                ChangeReport& undone) {
  SHEAF_ASSIGN(const Gpu gpu, gpu_with_uuid(nvml, before.uuid));
  SHEAF_ASSIGN(const CardState now, state_of(gpu));
  return Changer(nvml, journal, undone).go(now, before);
}

Status put_all_back(const Nvml& nvml, MigJournal& journal, const std::vector<CardState>& before,
                    ChangeReport& undone) {
  Status first;
  for (auto card = before.rbegin(); card != before.rend(); ++card)
    if (Status back = put_back(nvml, journal, *card, undone); !back.ok() && first.ok())
      first = std::move(back);
  return first;
}

std::string process_text(const GpuProcess& process) {
  return fmt::format("process {}{} ({})", process.pid,
                     process.name.empty() ? "" : " " + process.name,
                     human_bytes(static_cast<double>(process.bytes)));
}

// Whether the step takes away what the process runs on. Those of a compute instance go with it,
// which comes before its GPU instance.
bool ends(const MigStep& step, const Gpu& gpu, const GpuProcess& process) {
  if (step.kind == Kind::set_mode) return !process.gpu_instance;
  const auto live = std::ranges::find(gpu.instances, step.instance.start, &GpuInstance::start);
  if (live == gpu.instances.end() || process.gpu_instance != live->id) return false;
  if (step.kind == Kind::destroy_instance) return !process.compute_instance;
  if (step.kind != Kind::destroy_compute) return false;
  const auto compute =
      std::ranges::find(live->compute, step.compute.start, &ComputeInstance::start);
  return compute != live->compute.end() && process.compute_instance == compute->id;
}

// The MIG devices that the step destroys; those of an instance go before it does.
std::vector<std::string> devices_of(const MigStep& step, const Gpu& gpu) {
  if (step.kind != Kind::destroy_compute) return {};
  std::vector<std::string> uuids;
  for (const GpuInstance& live : gpu.instances)
    for (const ComputeInstance& compute : live.compute)
      if (live.start == step.instance.start && compute.start == step.compute.start)
        uuids.push_back(compute.uuid);
  return uuids;
}

}  // namespace

std::vector<std::string> taken_away(const Gpu& gpu, const CardChange& change) {
  std::vector<std::string> uuids;
  for (const MigStep& step : steps_between(change.before, change.after)) {
    if (step.kind == Kind::set_mode) uuids.push_back(gpu.uuid);
    const std::vector<std::string> devices = devices_of(step, gpu);
    uuids.insert(uuids.end(), devices.begin(), devices.end());
  }
  return uuids;
}

Status refuse_busy(const Gpu& gpu, const CardChange& change) {
  std::string busy;
  for (const MigStep& step : steps_between(change.before, change.after))
    for (const GpuProcess& process : gpu.processes) {
      if (!ends(step, gpu, process)) continue;
      busy += fmt::format("{}{} by {}", busy.empty() ? "" : ", ",
                          step.kind == Kind::set_mode
                              ? "the card"
                              : fmt::format("{}@{}", step.instance.name, step.instance.start),
                          process_text(process));
    }
  if (busy.empty()) return {};
  return Error{ErrorCode::unavailable,
               fmt::format("GPU {} is in use: {}; stop what runs there first", gpu.index, busy)};
}

Result<ChangeReport> change_cards(const Nvml& nvml, MigJournal& journal, const std::string& what,
                                  const std::vector<CardChange>& changes) {
  std::vector<CardState> before;
  for (const CardChange& change : changes) before.push_back(change.before);
  SHEAF_TRY(journal.begin(what, before));
  ChangeReport report;
  Status failed;
  for (const CardChange& change : changes) {
    Changer changer(nvml, journal, report);
    failed = changer.go(change.before, change.after);
    if (!failed.ok()) break;
  }
  if (failed.ok()) {
    SHEAF_TRY(journal.end());
    return report;
  }
  ChangeReport undone;
  const Status back = put_all_back(nvml, journal, before, undone);
  if (back.ok()) {
    SHEAF_TRY(journal.end());
    return Error{failed.error().code,
                 fmt::format("{}; the cards are as they were ({} steps undone)",
                             failed.error().message, undone.steps.size())};
  }
  return Error{failed.error().code,
               fmt::format("{}; putting the cards back failed too: {}; the journal stays, and the "
                           "next change tries again",
                           failed.error().message, back.error().message)};
}

Result<std::optional<std::string>> undo_unfinished(const Nvml& nvml, MigJournal& journal) {
  SHEAF_ASSIGN(const auto unfinished, journal.unfinished());
  if (!unfinished) return std::optional<std::string>();
  ChangeReport undone;
  // Begun anew with what there was before: it may be cut off as well.
  SHEAF_TRY(journal.begin("undo: " + unfinished->what, unfinished->before));
  if (const Status back = put_all_back(nvml, journal, unfinished->before, undone); !back.ok())
    return Error{back.error().code,
                 fmt::format("a change was cut off ({}) and cannot be undone yet: {}",
                             unfinished->what, back.error().message)};
  SHEAF_TRY(journal.end());
  return std::optional(fmt::format("a change that was cut off was undone: {}, after {} steps",
                                   unfinished->what, unfinished->steps.size()));
}

}  // namespace sheaf::slices
