#include "slices/doctor.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include "base/text.h"
#include "slices/cuda_build.h"

namespace sheaf::slices {
namespace {

constexpr std::string_view kMigDriverMin = "450.80.02";
constexpr int kMigCudaMin = 11000;
constexpr int kCapabilityMin = 75;  // the oldest that CUDA 13 knows
constexpr std::uint64_t kEngineMemoryMin = 2ull << 30;
constexpr std::uint64_t kOpenFilesMin = 4096;  // of sockets, replicas' channels and MIG nodes
constexpr std::uint64_t kLockedMemoryMin = 64ull << 20;  // pinned buffers
constexpr unsigned kComputeProhibited = 2;
constexpr unsigned kCrowdedPercent = 90;  // of the time in which something computes
constexpr std::size_t kCrowd = 2;         // processes that compute

class Findings {
 public:
  explicit Findings(std::vector<Finding>& list) : list_(list) {}
  void speak_of(Question question, std::optional<unsigned> gpu) {
    question_ = question;
    gpu_ = gpu;
  }
  void ok(std::string what) { add(Health::ok, std::move(what), "", ""); }
  void warn(std::string what, std::string why, std::string repair) {
    add(Health::warning, std::move(what), std::move(why), std::move(repair));
  }
  void error(std::string what, std::string why, std::string repair) {
    add(Health::error, std::move(what), std::move(why), std::move(repair));
  }

 private:
  void add(Health health, std::string what, std::string why, std::string repair) {
    list_.push_back({health, question_, gpu_, std::move(what), std::move(why), std::move(repair)});
  }
  std::vector<Finding>& list_;
  Question question_ = Question::machine;
  std::optional<unsigned> gpu_;
};

// --- reading the host ---

bool in_path(std::string_view program) {
  const char* path = std::getenv("PATH");
  std::string_view rest = path == nullptr ? "" : path;
  while (!rest.empty()) {
    const std::string_view folder = rest.substr(0, rest.find(':'));
    rest.remove_prefix(std::min(rest.size(), folder.size() + 1));
    if (access(fmt::format("{}/{}", folder, program).c_str(), X_OK) == 0) return true;
  }
  return false;
}

// The kernel keeps 15 bytes of a program's name.
bool runs(std::string_view program) {
  std::error_code failed;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", failed)) {
    std::ifstream file(entry.path() / "comm");
    std::string name;
    if (std::getline(file, name) && name == program.substr(0, 15)) return true;
  }
  return false;
}

std::uint64_t hard_limit(decltype(RLIMIT_NOFILE) what) {
  rlimit limit = {};
  return getrlimit(what, &limit) == 0 ? limit.rlim_max : 0;
}

std::vector<std::string> missing_nodes(const GpuInventory& gpus) {
  std::vector<std::string> nodes = {"/dev/nvidiactl", "/dev/nvidia-uvm"};
  for (const Gpu& gpu : gpus.gpus)
    if (gpu.minor) nodes.push_back(fmt::format("/dev/nvidia{}", *gpu.minor));
  std::erase_if(nodes, [](const std::string& node) { return access(node.c_str(), F_OK) == 0; });
  return nodes;
}

// --- the machine ---

void examine_limits(const HostFacts& host, Findings& found) {
  if (host.open_files_max >= kOpenFilesMin)
    found.ok(fmt::format("{} open files are allowed", host.open_files_max));
  else
    found.warn(fmt::format("only {} open files are allowed", host.open_files_max),
               fmt::format("sheaf wants {} for connections, replicas and MIG nodes", kOpenFilesMin),
               fmt::format("ulimit -n {}, or LimitNOFILE= in the unit", kOpenFilesMin));
  if (host.locked_memory_bytes >= kLockedMemoryMin)
    found.ok("enough memory may be locked");
  else
    found.warn(fmt::format("only {} may be locked in memory",
                           human_bytes(static_cast<double>(host.locked_memory_bytes))),
               "pinned buffers make copies to a card twice as fast",
               "ulimit -l unlimited, or LimitMEMLOCK=infinity in the unit");
}

// What the control group grants, of a service or a container.
void examine_cgroup(const HostFacts& host, Findings& found) {
  const auto cores = static_cast<double>(host.machine.cores.size());
  if (host.machine.core_quota > 0 && host.machine.core_quota < cores)
    found.warn(fmt::format("{:.3g} cores' worth of time are granted on {} cores",
                           host.machine.core_quota, host.machine.cores.size()),
               "threads that used it up are stopped until the next tenth of a second",
               "CPUQuota= in the unit, --cpus of the container; or fewer cores: --cpuset-cpus");
  const CgroupMemory& memory = host.cgroup;
  const auto text = [](std::uint64_t bytes) { return human_bytes(static_cast<double>(bytes)); };
  if (memory.limit_bytes == 0)
    found.ok("no limit of memory");
  else if (memory.used_bytes > memory.limit_bytes / 10 * 9)
    found.warn(fmt::format("{} of the {} that may be used are used", text(memory.used_bytes),
                           text(memory.limit_bytes)),
               "a replica that needs more is killed, and its batch halved",
               "MemoryMax= in the unit, --memory of the container");
  else
    found.ok(fmt::format("{} of memory may be used", text(memory.limit_bytes)));
  if (memory.oom_kills > 0)
    found.warn(fmt::format("{} processes were killed for want of memory", memory.oom_kills),
               "batches in them ran again at half the size, which costs time",
               "sheaf plan model NAME says what a model takes; then raise the limit, or fewer "
               "replicas, a smaller --max-batch-tokens, --dtype int8");
}

void examine_containers(const HostFacts& host, bool has_cards, Findings& found) {
  if (has_cards && host.has_docker && !host.has_container_toolkit)
    found.warn("Docker is here without NVIDIA's container toolkit", "containers see no card",
               "apt-get install nvidia-container-toolkit");
  if (!host.driver_capabilities) return;
  const std::string& words = *host.driver_capabilities;
  const bool all = words.find("all") != std::string::npos;
  for (const std::string_view needed : {"compute", "utility"})
    if (!all && words.find(needed) == std::string::npos)
      found.error(
          fmt::format("NVIDIA_DRIVER_CAPABILITIES={} lacks {}", words, needed),
          needed == "compute" ? "CUDA is not in this container" : "NVML is not in this container",
          "start the container with NVIDIA_DRIVER_CAPABILITIES=compute,utility");
}

// "/dev/nvidia2" is made by its number.
std::string modprobe_for(const std::vector<std::string>& nodes) {
  std::string commands;
  for (const std::string& node : nodes) {
    const std::size_t digits = node.find_last_not_of("0123456789") + 1;
    if (digits < node.size())
      commands += fmt::format("{}nvidia-modprobe -u -c {}", commands.empty() ? "" : " && ",
                              node.substr(digits));
  }
  return commands.empty() ? "nvidia-modprobe -u -c 0" : commands;
}

// What `sheaf serve` would find.
void examine_program(const CudaBuild& build, const HostFacts& host, Findings& found) {
  if (!host.card_program) return;
  const auto& [path, refusal, sums_by, no_sums_because] = *host.card_program;
  if (path.empty())
    found.warn("there is no sheaf-replica-cuda beside sheaf-replica",
               "`sheaf serve` computes on the processor",
               fmt::format("in a checkout of sheaf: {}", build.command));
  else if (refusal.empty())
    found.ok(path + " can compute here");
  else
    found.error(refusal, "`sheaf serve` computes on the processor",
                "what is said of driver and cards here; then again: " + path + " devices");
  if (!sums_by.empty()) found.ok("models can be divided over these cards, by " + sums_by);
  if (!no_sums_because.empty())
    found.ok("models are not divided over several cards: " + no_sums_because);
}

void examine_driver(const GpuInventory& gpus, const HostFacts& host, Findings& found) {
  found.speak_of(Question::run, std::nullopt);
  const CudaBuild* fitting = find_driver_build(gpus.cuda_version);
  const CudaBuild& build = fitting != nullptr ? *fitting : *std::rbegin(kCudaBuilds);
  if (fitting != nullptr)
    found.ok(fmt::format("{} runs what `{}` builds", versions_of(gpus), build.command));
  else
    found.error(fmt::format("{} is older than CUDA {} of what `{}` builds", versions_of(gpus),
                            build.cuda_min / 1000, build.command),
                "sheaf-replica-cuda does not start, and `sheaf serve` computes on the processor",
                fmt::format("install driver {} or newer", build.driver_min));
  examine_program(build, host, found);
  if (host.missing_nodes.empty())
    found.ok("the device nodes are there");
  else
    found.error(fmt::format("{} missing", fmt::join(host.missing_nodes, ", ")),
                "CUDA opens cards through them", modprobe_for(host.missing_nodes));
}

// --- a card ---

void examine_mig_driver(const Gpu& gpu, const GpuInventory& gpus, Findings& found) {
  const CardModel* row = find_card_by_pci_id(gpu.pci_id);
  const std::string_view needed = row == nullptr ? kMigDriverMin : row->driver_min;
  if (compare_versions(gpus.driver_version, needed) < 0 || gpus.cuda_version < kMigCudaMin)
    found.error(fmt::format("{} is too old to cut it", versions_of(gpus)),
                fmt::format("this card needs driver {} and CUDA 11", needed),
                fmt::format("install driver {} or newer", needed));
  else
    found.ok(fmt::format("{} can cut it (from {} on)", versions_of(gpus), needed));
}

std::string holders(const Gpu& gpu) {
  std::string text;
  for (const GpuProcess& process : gpu.processes)
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", process.pid, process.name);
  return text;
}

void examine_cut(const Gpu& gpu, const GpuInventory& gpus, const HostFacts& host, Findings& found) {
  found.speak_of(Question::cut, gpu.index);
  if (!gpu.mig) {
    found.ok(fmt::format("{} cannot be cut by MIG: it is shared by MPS or in turns", gpu.name));
    return;
  }
  examine_mig_driver(gpu, gpus, found);
  if (gpu.mig->current == gpu.mig->pending)
    found.ok(gpu.mig->current ? "MIG is on" : "MIG is off");
  else
    found.warn(fmt::format("MIG will be {} after a reset", gpu.mig->pending ? "on" : "off"),
               "until then it stays as it is",
               fmt::format("nvidia-smi --gpu-reset -i {}", gpu.index));
  if (!host.has_mig_capabilities)
    found.error("/proc/driver/nvidia/capabilities/mig/config is missing",
                "rights to cut cards are given through it", "modprobe nvidia");
  if (!gpu.processes.empty())
    found.warn("it is in use by " + holders(gpu),
               "a mode cannot be switched, and instances with processes not be destroyed",
               "stop these processes first");
  if (gpu.nvlinks > 0 && gpus.gpus.size() > 1 && !host.fabric_manager_runs)
    found.warn("NVLink joins several cards, and no fabric manager runs",
               "on HGX machines it must know of a change of mode, and CUDA needs it",
               "systemctl enable --now nvidia-fabricmanager");
}

void examine_memory_errors(const Gpu& gpu, Findings& found) {
  const std::string reset = fmt::format("nvidia-smi --gpu-reset -i {}", gpu.index);
  if (gpu.remapped_rows && gpu.remapped_rows->failed)
    found.error("a row of its memory could not be remapped", "it will fail again",
                "have the card replaced");
  else if ((gpu.remapped_rows && gpu.remapped_rows->pending) ||
           gpu.retired_pages_pending.value_or(false))
    found.warn("memory waits to be retired", "errors go on until a reset", reset);
  else if (gpu.uncorrected_ecc_errors.value_or(0) > 0)
    found.warn(
        fmt::format("{} uncorrected memory errors since the boot", *gpu.uncorrected_ecc_errors),
        "what ran then may have been wrong", reset);
  else if (gpu.ecc_enabled)
    found.ok("no memory errors wait");
}

void examine_link(const Gpu& gpu, Findings& found) {
  if (!gpu.pcie) return;
  const Nvml::PcieLink& link = *gpu.pcie;
  // The generation falls while a card idles; the width does not.
  const bool busy = gpu.utilization_percent.value_or(0) > 0;
  if (link.width < link.width_max || (busy && link.generation < link.generation_max))
    found.warn(fmt::format("its PCIe link is {}.0 x{} of {}.0 x{}", link.generation, link.width,
                           link.generation_max, link.width_max),
               "batches reach the card more slowly", "reseat the card, or try another slot");
  else
    found.ok(fmt::format("PCIe x{}", link.width));
}

void examine_clocks(const Gpu& gpu, Findings& found) {
  constexpr std::array<std::pair<std::uint64_t, std::string_view>, 4> kReasons = {
      {{0x8, "hardware slowdown"},
       {0x20, "heat, by software"},
       {0x40, "heat, by hardware"},
       {0x80, "the power brake"}}};
  if (!gpu.throttle_reasons) return;
  for (const auto& [bit, name] : kReasons)
    if ((*gpu.throttle_reasons & bit) != 0)
      found.warn(fmt::format("its clocks are held down by {}", name), "it computes more slowly",
                 "look at cooling and power supply: nvidia-smi -q -d PERFORMANCE");
}

void examine_recovery(const Gpu& gpu, Findings& found) {
  constexpr std::array<std::string_view, 6> kActions = {"",
                                                        "a reset of the card",
                                                        "a reboot of the machine",
                                                        "draining its peers",
                                                        "draining it, then a reset",
                                                        "recovery of its IMEX domain"};
  const unsigned action = gpu.recovery_action.value_or(0);
  if (action == 0) return;
  found.error(fmt::format("the driver asks for {}",
                          action < kActions.size() ? kActions[action] : "recovery"),
              "it does not compute rightly until then",
              action == 2 ? "reboot" : fmt::format("nvidia-smi --gpu-reset -i {}", gpu.index));
}

bool reaches_node(const Machine& machine, int node) {
  return node < 0 || machine.cores.empty() ||
         std::ranges::any_of(machine.cores,
                             [node](const Core& core) { return core.numa_node == node; });
}

// Those for older drivers are for no other cards.
std::string text_of_builds() {
  std::string text;
  for (const CudaBuild& build : kCudaBuilds)
    if (build.cuda_min == kCudaBuilds[0].cuda_min)
      text += fmt::format("{}{} ({})", text.empty() ? "" : ", or ", build.range, build.cards);
  return text;
}

void examine_code(const Gpu& gpu, int cuda_version, Findings& found) {
  const std::string capability = fmt::format(
      "compute capability {}.{}", gpu.compute_capability_major, gpu.compute_capability_minor);
  // Of a driver that runs no build it was said before.
  if (find_driver_build(cuda_version) == nullptr) cuda_version = kAnyCuda;
  if (const CudaBuild* build = find_cuda_build(gpu.compute_capability(), cuda_version))
    found.ok(fmt::format("{}: `{}` builds code for it", capability, build->command));
  else if (const CudaBuild* newer = find_cuda_build(gpu.compute_capability()))
    found.error(fmt::format("{}: this driver does not run what `{}` builds for it", capability,
                            newer->command),
                "sheaf-replica-cuda cannot use it, and `sheaf serve` leaves it out",
                fmt::format("install driver {} or newer", newer->driver_min));
  else
    found.error(fmt::format("sheaf has no code for {}", capability),
                "its builds for cards are for " + text_of_builds(),
                "use such a card; `sheaf serve --device cpu` computes on the processor");
}

void examine_run(const Gpu& gpu, const GpuInventory& gpus, const HostFacts& host, Findings& found) {
  found.speak_of(Question::run, gpu.index);
  examine_code(gpu, gpus.cuda_version, found);
  if (gpu.free_bytes < kEngineMemoryMin)
    found.warn(fmt::format("only {} of its memory is free",
                           human_bytes(static_cast<double>(gpu.free_bytes))),
               "a small model with its working set wants 2 GiB",
               "stop what holds it: sheaf slices");
  if (gpu.compute_mode == kComputeProhibited)
    found.error("its compute mode is prohibited", "no CUDA program can start",
                fmt::format("nvidia-smi -i {} -c DEFAULT", gpu.index));
  if (gpu.persistence == false)
    found.warn("persistence mode is off",
               "each start waits seconds for the driver to wake the card",
               fmt::format("nvidia-smi -i {} -pm 1", gpu.index));
  if (gpu.mig && gpu.mig->current && gpu.instances_known && gpu.instances.empty())
    found.error("MIG is on and it holds no instance", "no CUDA program can start",
                fmt::format("sheaf slices mig create --gpu {} 1 equal", gpu.index));
  if (!reaches_node(host.machine, gpu.numa_node))
    found.warn(
        fmt::format("it hangs on NUMA node {}, where this process may use no core", gpu.numa_node),
        "copies cross between the nodes", "start with cores of that node: numactl");
  examine_memory_errors(gpu, found);
  examine_link(gpu, found);
  examine_clocks(gpu, found);
  examine_recovery(gpu, found);
  for (const std::string& note : gpu.notes) found.warn(note, "it could not be looked at", "");
}

// --- one card beside another ---

std::size_t computing(const Gpu& gpu) {
  return static_cast<std::size_t>(std::ranges::count_if(
      gpu.processes,
      [](const GpuProcess& process) { return process.kind != Nvml::ProcessKind::graphics; }));
}

bool is_crowded(const Gpu& gpu) {
  return gpu.utilization_percent.value_or(0) >= kCrowdedPercent && computing(gpu) >= kCrowd;
}

// Nothing runs there, and something could.
bool is_free(const Gpu& gpu) {
  const bool empty = gpu.mig && gpu.mig->current &&
                     std::ranges::all_of(gpu.instances, [](const GpuInstance& instance) {
                       return instance.compute.empty();
                     });
  return gpu.visible && gpu.processes.empty() && !empty && gpu.notes.empty() &&
         gpu.utilization_percent.value_or(0) == 0 && gpu.recovery_action.value_or(0) == 0 &&
         gpu.compute_mode != kComputeProhibited && gpu.compute_capability() >= kCapabilityMin;
}

void examine_crowd(const Gpu& gpu, const GpuInventory& gpus, Findings& found) {
  const auto free = std::ranges::find_if(gpus.gpus, is_free);
  if (free == gpus.gpus.end() || !is_crowded(gpu)) return;
  const bool has_code = find_cuda_build(gpu.compute_capability(), gpus.cuda_version) != nullptr &&
                        find_cuda_build(free->compute_capability(), gpus.cuda_version) != nullptr;
  const std::string ours =
      has_code ? fmt::format("sheaf serve MODEL --slices gpu:{},gpu:{} gives it both; else ",
                             gpu.index, free->index)
               : "";
  found.speak_of(Question::run, gpu.index);
  found.warn(fmt::format("{} processes share it, {} % busy, while nothing runs on GPU {}",
                         computing(gpu), *gpu.utilization_percent, free->index),
             "they wait for each other, and the idle card would take half of them",
             ours + fmt::format(
                        "start some of the programs with CUDA_VISIBLE_DEVICES={}",
                        free->mig && free->mig->current ? "a UUID of its MIG slices" : free->uuid));
}

}  // namespace

std::string_view name_of(Health health) {
  constexpr std::array<std::string_view, 3> names{"ok", "warning", "error"};
  return names[static_cast<std::size_t>(health)];
}

std::string_view name_of(Question question) {
  constexpr std::array<std::string_view, 3> names{"machine", "cut", "run"};
  return names[static_cast<std::size_t>(question)];
}

int compare_versions(std::string_view a, std::string_view b) {
  while (!a.empty() || !b.empty()) {
    const auto next = [](std::string_view& text) {
      int number = 0;
      const std::string_view part = text.substr(0, text.find('.'));
      std::from_chars(part.data(), part.data() + part.size(), number);
      text.remove_prefix(std::min(text.size(), part.size() + 1));
      return number;
    };
    const int left = next(a), right = next(b);
    if (left != right) return left < right ? -1 : 1;
  }
  return 0;
}

HostFacts read_host(const Machine& machine, const GpuInventory& gpus) {
  HostFacts host;
  host.machine = machine;
  host.open_files_max = hard_limit(RLIMIT_NOFILE);
  host.locked_memory_bytes = hard_limit(RLIMIT_MEMLOCK);
  host.cgroup = read_cgroup_memory();
  host.fabric_manager_runs = runs("nv-fabricmanager");
  host.has_docker = in_path("docker");
  host.has_container_toolkit = in_path("nvidia-ctk") || in_path("nvidia-container-cli");
  if (const char* words = std::getenv("NVIDIA_DRIVER_CAPABILITIES"))
    host.driver_capabilities = words;
  host.missing_nodes = missing_nodes(gpus);
  host.has_mig_capabilities = access("/proc/driver/nvidia/capabilities/mig/config", F_OK) == 0;
  return host;
}

std::vector<Finding> examine(const GpuInventory& gpus, const HostFacts& host,
                             const std::string& no_gpus_because) {
  std::vector<Finding> list;
  Findings found(list);
  examine_limits(host, found);
  examine_cgroup(host, found);
  examine_containers(host, !gpus.gpus.empty(), found);
  for (const std::string& note : gpus.notes)
    found.error(note, "a card that does not answer cannot be used", "nvidia-smi; dmesg | grep Xid");
  if (!no_gpus_because.empty() || gpus.gpus.empty()) {
    found.warn(no_gpus_because.empty() ? "NVML sees no card" : no_gpus_because,
               "sheaf runs on the processor alone",
               "if there is a card: install NVIDIA's driver, and start containers with --gpus all");
    return list;
  }
  examine_driver(gpus, host, found);
  for (const Gpu& gpu : gpus.gpus) {
    if (!gpu.visible) continue;  // not ours to use
    examine_cut(gpu, gpus, host, found);
    examine_run(gpu, gpus, host, found);
    examine_crowd(gpu, gpus, found);
  }
  return list;
}

Health worst_of(const std::vector<Finding>& findings) {
  Health worst = Health::ok;
  for (const Finding& finding : findings) worst = std::max(worst, finding.health);
  return worst;
}

}  // namespace sheaf::slices
