#include <fmt/format.h>

#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "base/text.h"
#include "cli/slices.h"
#include "slices/gpu_place.h"

// `sheaf slices` without a verb: the machine as a tree, or as JSON.
namespace sheaf::cli {
namespace {

using nlohmann::ordered_json;
using slices::ComputeInstance;
using slices::Gpu;
using slices::GpuInstance;
using slices::GpuProcess;

constexpr std::chrono::seconds kAnswerTime{10};

// One line of the tree: "├─ " before all but the last of its siblings.
struct Node {
  std::string text;
  std::vector<Node> children = {};
};

void draw(const Node& node, const std::string& indent, std::string& out) {
  for (std::size_t i = 0; i < node.children.size(); ++i) {
    const bool last = i + 1 == node.children.size();
    out += indent + (last ? "└─ " : "├─ ") + node.children[i].text + "\n";
    draw(node.children[i], indent + (last ? "   " : "│  "), out);
  }
}

std::string_view kind_name(slices::Nvml::ProcessKind kind) {
  switch (kind) {
    case slices::Nvml::ProcessKind::compute:
      return "compute";
    case slices::Nvml::ProcessKind::graphics:
      return "graphics";
    case slices::Nvml::ProcessKind::mps:
      return "mps";
  }
  return "";
}

// Who has it, a line each.
void add_tenants(const SlicesHere& here, const std::string& uuid, Node& node) {
  for (const slices::Lease& lease : here.leases)
    if (!uuid.empty() && lease.slice.id == uuid) node.children.push_back({describe(lease)});
  for (const slices::MpsDaemon& daemon : here.mps)
    if (daemon.uuid == uuid)
      node.children.push_back({fmt::format(
          "MPS daemon, process {}{}: {} % of threads", daemon.process.pid,
          is_alive(daemon.process) ? "" : ", which is gone", daemon.settings.thread_percentage)});
}

std::string cores_by_node(const slices::Machine& machine, int node) {
  std::vector<int> cpus;
  for (const slices::Core& core : machine.cores)
    if (core.numa_node == node) cpus.push_back(core.cpu);
  std::ranges::sort(cpus);
  return cpus.empty() ? "no core of ours" : "cores " + slices::format_cpu_list(cpus);
}

Node node_of(const slices::Machine& machine, const SlicesHere& here) {
  Node node{fmt::format("{}: {} cores ({} physical), {:.3g} granted",
                        machine.processor.empty() ? "processor" : machine.processor,
                        machine.cores.size(), machine.physical_cores, machine.core_quota)};
  for (const slices::NumaNode& one : machine.nodes)
    node.children.push_back({fmt::format("NUMA node {}: {}, {}", one.number,
                                         human_bytes(static_cast<double>(one.memory_bytes)),
                                         cores_by_node(machine, one.number))});
  for (const slices::Lease& lease : here.leases)
    if (lease.slice.kind == "cores")
      node.children.push_back({lease.slice.id + " " + describe(lease)});
  return node;
}

Node node_of(const GpuProcess& process) {
  return {fmt::format("process {} {} ({}): {}", process.pid,
                      process.name.empty() ? "?" : process.name, kind_name(process.kind),
                      human_bytes(static_cast<double>(process.bytes)))};
}

Node node_of(const Gpu& gpu, const GpuInstance& instance, const SlicesHere& here) {
  Node node{fmt::format(
      "{} at memory slice {} (GPU instance {}): {}{}", instance.name, instance.start, instance.id,
      human_bytes(static_cast<double>(instance.memory_bytes)),
      instance.free_bytes
          ? fmt::format(", {} free", human_bytes(static_cast<double>(*instance.free_bytes)))
          : "")};
  for (const ComputeInstance& compute : instance.compute) {
    const slices::GpuPlace place{&gpu, &instance, &compute};
    Node child{fmt::format("{} {} {}{}", compute.name, place.name(),
                           compute.uuid.empty() ? "of unknown UUID" : compute.uuid,
                           compute.visible ? "" : " (outside CUDA_VISIBLE_DEVICES)")};
    add_tenants(here, compute.uuid, child);
    for (const GpuProcess& process : gpu.processes)
      if (place.runs(process)) child.children.push_back(node_of(process));
    node.children.push_back(std::move(child));
  }
  if (instance.compute.empty())
    node.children.push_back({"no compute instance: nothing can run here"});
  return node;
}

std::string mig_text(const Gpu& gpu) {
  if (!gpu.mig) return "no MIG";
  std::string text = gpu.mig->current ? "MIG on" : "MIG off";
  if (gpu.mig->current != gpu.mig->pending)
    text += fmt::format(", {} after a reset", gpu.mig->pending ? "on" : "off");
  return text;
}

std::string compute_mode_text(unsigned mode) {
  const std::map<unsigned, const char*> names = {
      {0, "shared"}, {1, "exclusive thread"}, {2, "prohibited"}, {3, "exclusive process"}};
  const auto found = names.find(mode);
  return found == names.end() ? std::to_string(mode) : found->second;
}

// "41 °C, 62 W of 400 W, ECC on, PCIe 4.0 x16, 12 NVLinks".
std::string state_text(const Gpu& gpu) {
  std::string text;
  const auto add = [&text](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
  if (gpu.utilization_percent) add(fmt::format("{} % busy", *gpu.utilization_percent));
  if (gpu.temperature_c) add(fmt::format("{} °C", *gpu.temperature_c));
  if (gpu.power_mw && gpu.power_limit_mw)
    add(fmt::format("{} W of {} W", *gpu.power_mw / 1000, *gpu.power_limit_mw / 1000));
  if (gpu.ecc_enabled) add(*gpu.ecc_enabled ? "ECC on" : "ECC off");
  if (gpu.pcie)
    add(fmt::format("PCIe {}.0 x{} (of {}.0 x{})", gpu.pcie->generation, gpu.pcie->width,
                    gpu.pcie->generation_max, gpu.pcie->width_max));
  if (gpu.nvlinks > 0) add(fmt::format("{} NVLinks", gpu.nvlinks));
  if (gpu.compute_mode && *gpu.compute_mode != 0)
    add("compute mode " + compute_mode_text(*gpu.compute_mode));
  return text;
}

Node node_of(const Gpu& gpu, const SlicesHere& here) {
  Node node{fmt::format("GPU {} {} {}{}", gpu.index, gpu.name, gpu.uuid,
                        gpu.visible ? "" : " (outside CUDA_VISIBLE_DEVICES)")};
  node.children.push_back(
      {fmt::format("{}, {} free; compute capability {}.{}; {}",
                   human_bytes(static_cast<double>(gpu.memory_bytes)),
                   human_bytes(static_cast<double>(gpu.free_bytes)), gpu.compute_capability_major,
                   gpu.compute_capability_minor, mig_text(gpu))});
  if (const std::string state = state_text(gpu); !state.empty()) node.children.push_back({state});
  add_tenants(here, gpu.uuid, node);
  for (const GpuInstance& instance : gpu.instances)
    node.children.push_back(node_of(gpu, instance, here));
  for (const GpuProcess& process : gpu.processes)
    if (!process.gpu_instance) node.children.push_back(node_of(process));
  if (gpu.mig && gpu.mig->current && gpu.instances.empty() && gpu.notes.empty())
    node.children.push_back({"not cut: with MIG on and no instance no CUDA program runs here"});
  for (const std::string& note : gpu.notes) node.children.push_back({"note: " + note});
  return node;
}

template <class Value>
ordered_json or_null(const std::optional<Value>& value) {
  return value ? ordered_json(*value) : ordered_json();
}

ordered_json facts_of(const GpuProcess& process) {
  return {{"pid", process.pid},
          {"name", process.name},
          {"kind", kind_name(process.kind)},
          {"memory_bytes", process.bytes},
          {"gpu_instance", or_null(process.gpu_instance)},
          {"compute_instance", or_null(process.compute_instance)}};
}

ordered_json lease_facts(const SlicesHere& here, const std::string& uuid) {
  auto list = ordered_json::array();
  for (const slices::Lease& lease : here.leases)
    if (!uuid.empty() && lease.slice.id == uuid)
      list.push_back({{"id", lease.id},
                      {"task_id", lease.task_id},
                      {"holder_pid", lease.holder.pid},
                      {"shared", lease.need.shared},
                      {"drainable", lease.drainable}});
  return list;
}

ordered_json mps_facts(const SlicesHere& here, const std::string& uuid) {
  for (const slices::MpsDaemon& daemon : here.mps)
    if (daemon.uuid == uuid)
      return {{"pid", daemon.process.pid},
              {"running", is_alive(daemon.process)},
              {"thread_percentage", daemon.settings.thread_percentage},
              {"memory_limit_bytes", daemon.settings.memory_limit_bytes}};
  return nullptr;
}

ordered_json facts_of(const Gpu& gpu, const GpuInstance& instance, const SlicesHere& here) {
  auto compute = ordered_json::array();
  for (const ComputeInstance& one : instance.compute)
    compute.push_back({{"id", one.id},
                       {"slice", slices::GpuPlace{&gpu, &instance, &one}.name()},
                       {"profile", one.name},
                       {"profile_id", one.profile_id},
                       {"uuid", one.uuid},
                       {"start", one.start},
                       {"size", one.size},
                       {"visible", one.visible},
                       {"leases", lease_facts(here, one.uuid)},
                       {"mps", mps_facts(here, one.uuid)}});
  return {{"id", instance.id},
          {"profile", instance.name},
          {"profile_id", instance.profile_id},
          {"start", instance.start},
          {"size", instance.size},
          {"memory_bytes", instance.memory_bytes},
          {"free_bytes", or_null(instance.free_bytes)},
          {"compute_instances", compute}};
}

ordered_json mig_facts(const Gpu& gpu, const SlicesHere& here) {
  if (!gpu.mig) return nullptr;
  auto instances = ordered_json::array();
  for (const GpuInstance& instance : gpu.instances)
    instances.push_back(facts_of(gpu, instance, here));
  return {{"current", gpu.mig->current}, {"pending", gpu.mig->pending}, {"instances", instances}};
}

ordered_json pcie_facts(const Gpu& gpu) {
  if (!gpu.pcie) return nullptr;
  return {{"generation", gpu.pcie->generation},
          {"generation_max", gpu.pcie->generation_max},
          {"width", gpu.pcie->width},
          {"width_max", gpu.pcie->width_max}};
}

ordered_json rows_facts(const Gpu& gpu) {
  if (!gpu.remapped_rows) return nullptr;
  return {{"corrected", gpu.remapped_rows->corrected},
          {"uncorrected", gpu.remapped_rows->uncorrected},
          {"pending", gpu.remapped_rows->pending},
          {"failed", gpu.remapped_rows->failed}};
}

ordered_json facts_of(const Gpu& gpu, const SlicesHere& here) {
  auto processes = ordered_json::array();
  for (const GpuProcess& process : gpu.processes) processes.push_back(facts_of(process));
  return {{"index", gpu.index},
          {"slice", fmt::format("gpu:{}", gpu.index)},
          {"name", gpu.name},
          {"uuid", gpu.uuid},
          {"minor", or_null(gpu.minor)},
          {"bus_id", gpu.bus_id},
          {"numa_node", gpu.numa_node},
          {"visible", gpu.visible},
          {"compute_capability",
           fmt::format("{}.{}", gpu.compute_capability_major, gpu.compute_capability_minor)},
          {"memory_bytes", gpu.memory_bytes},
          {"free_bytes", gpu.free_bytes},
          {"utilization_percent", or_null(gpu.utilization_percent)},
          {"temperature_c", or_null(gpu.temperature_c)},
          {"power_mw", or_null(gpu.power_mw)},
          {"power_limit_mw", or_null(gpu.power_limit_mw)},
          {"compute_mode",
           gpu.compute_mode ? ordered_json(compute_mode_text(*gpu.compute_mode)) : ordered_json()},
          {"persistence", or_null(gpu.persistence)},
          {"ecc", or_null(gpu.ecc_enabled)},
          {"uncorrected_ecc_errors", or_null(gpu.uncorrected_ecc_errors)},
          {"retired_pages_pending", or_null(gpu.retired_pages_pending)},
          {"remapped_rows", rows_facts(gpu)},
          {"pcie", pcie_facts(gpu)},
          {"nvlinks", gpu.nvlinks},
          {"mig", mig_facts(gpu, here)},
          {"leases", lease_facts(here, gpu.uuid)},
          {"mps", mps_facts(here, gpu.uuid)},
          {"processes", processes},
          {"notes", gpu.notes}};
}

ordered_json facts_of(const slices::Machine& machine) {
  auto nodes = ordered_json::array();
  for (const slices::NumaNode& node : machine.nodes)
    nodes.push_back({{"number", node.number}, {"memory_bytes", node.memory_bytes}});
  auto cores = ordered_json::array();
  for (const slices::Core& core : machine.cores)
    cores.push_back({{"cpu", core.cpu}, {"numa_node", core.numa_node}});
  return {{"processor", machine.processor},
          {"physical_cores", machine.physical_cores},
          {"granted_cores", machine.core_quota},
          {"numa_nodes", nodes},
          {"cores", cores}};
}

Result<SlicesHere> read_slices() {
  SlicesHere here;
  SHEAF_ASSIGN(here.machine, slices::detect_machine());
  const auto nvml = slices::Nvml::open();
  if (!nvml.ok()) {
    here.no_gpus_because = nvml.error().message;
    return here;
  }
  auto gpus = slices::read_gpus(*nvml, std::getenv("CUDA_VISIBLE_DEVICES"));
  if (gpus.ok())
    here.gpus = std::move(*gpus);
  else
    here.no_gpus_because = gpus.error().message;
  return here;
}

}  // namespace

Result<SlicesHere> look_at_slices() {
  struct Look {
    std::mutex mutex;
    std::condition_variable changed;
    std::optional<Result<SlicesHere>> here;
  };
  const auto look = std::make_shared<Look>();
  std::thread looking([look] {
    Result<SlicesHere> here = read_slices();
    const std::lock_guard lock(look->mutex);
    look->here = std::move(here);
    look->changed.notify_all();
  });
  std::unique_lock lock(look->mutex);
  if (look->changed.wait_for(lock, kAnswerTime, [&] { return look->here.has_value(); })) {
    lock.unlock();
    looking.join();  // what a thread holds is free only when it has ended, not when it has answered
    return std::move(*look->here);
  }
  looking.detach();  // a call of NVML cannot be broken off
  return Error{
      ErrorCode::unavailable,
      fmt::format("NVML has not answered for {} s: a card or the driver hangs; `sheaf top` "
                  "shows which cards answer",
                  kAnswerTime.count())};
}

std::string tree_of(const SlicesHere& here) {
  Node root{"this machine", {node_of(here.machine, here)}};
  for (const Gpu& gpu : here.gpus.gpus) root.children.push_back(node_of(gpu, here));
  if (!here.no_gpus_because.empty())
    root.children.push_back({"no GPU: " + here.no_gpus_because});
  else if (here.gpus.gpus.empty())
    root.children.push_back({"no GPU: NVML sees none"});
  for (const std::string& note : here.gpus.notes) root.children.push_back({"note: " + note});
  std::string out = root.text;
  if (here.no_gpus_because.empty()) out += ": " + slices::versions_of(here.gpus);
  out += "\n";
  draw(root, "", out);
  return out;
}

ordered_json facts_of(const SlicesHere& here) {
  auto gpus = ordered_json::array();
  for (const Gpu& gpu : here.gpus.gpus) gpus.push_back(facts_of(gpu, here));
  return {{"machine", facts_of(here.machine)},
          {"driver_version", here.gpus.driver_version},
          {"nvml_version", here.gpus.nvml_version},
          {"cuda_version", here.gpus.cuda_version},
          {"no_gpus_because", here.no_gpus_because},
          {"gpus", gpus},
          {"notes", here.gpus.notes}};
}

}  // namespace sheaf::cli
