"""`sheaf slices` on simulated cards, and the simulated NVML judged by those who know the real one: NVIDIA's header,
nvidia-ml-py, gpustat and nvitop."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

from sheaf_server import MODEL_FOLDER, REPOSITORY, SHEAF
from simulated_machine import Machine


@pytest.fixture
def machine(tmp_path):
    return lambda *cards: Machine(tmp_path, *cards)


# --- the judges ---


def test_declarations_are_those_of_nvidias_header(tmp_path):
    """Sizes, offsets and types of everything that sheaf declares anew."""
    headers = [p for root in map(pathlib.Path, sys.path) for p in root.glob("nvidia/**/include/nvml.h")]
    if not headers:
        pytest.skip("nvidia-nvml-dev is not installed")
    ours = (REPOSITORY / "src/slices/nvml_abi.h").read_text()
    structs = re.findall(r"^struct (\w+) \{", ours, re.M)
    theirs = {"ProcessInfo": "nvmlProcessInfo_t", "Memory_v2": "nvmlMemory_v2_t", "Placement": "nvmlGpuInstancePlacement_t",
              "GpuInstanceProfileInfo_v2": "nvmlGpuInstanceProfileInfo_v2_t"}
    grows = "GpmMetricsGet"  # with the header; what is in front of its array stays
    lines = [f"static_assert(sizeof(abi::{s}) == sizeof({theirs.get(s, f'nvml{s}_t')}), \"{s}\");" for s in structs
             if s != grows]
    lines += [f'static_assert(offsetof(abi::{grows}, metrics) == offsetof(nvmlGpmMetricsGet_t, metrics), "{grows}");',
              f'static_assert(sizeof(abi::{grows}) <= sizeof(nvmlGpmMetricsGet_t), "{grows}");',
              'static_assert(offsetof(abi::GpmMetric, value) == offsetof(nvmlGpmMetric_t, value), "GpmMetric");']
    functions = re.findall(r"X\((nvml\w+),", ours)
    assert len(functions) > 50 and len(structs) > 12
    # Same number of parameters of the same sizes: every struct's size was compared above.
    lines += [f'static_assert(alike<decltype(ours::{f}), decltype(&::{f})>(), "{f}");' for f in functions]
    constants = {"kUninitialized": "NVML_ERROR_UNINITIALIZED", "kNoPermission": "NVML_ERROR_NO_PERMISSION",
                 "kInUse": "NVML_ERROR_IN_USE", "kInsufficientResources": "NVML_ERROR_INSUFFICIENT_RESOURCES",
                 "kResetRequired": "NVML_ERROR_RESET_REQUIRED", "kGpuIsLost": "NVML_ERROR_GPU_IS_LOST",
                 "kArgumentVersionMismatch": "NVML_ERROR_ARGUMENT_VERSION_MISMATCH",
                 "kVersionMismatch": "NVML_ERROR_LIB_RM_VERSION_MISMATCH", "kEventXid": "nvmlEventTypeXidCriticalError",
                 "kComputeProfileIndexes": "NVML_COMPUTE_INSTANCE_PROFILE_COUNT",
                 "kClockSm": "NVML_CLOCK_SM", "kClockMemory": "NVML_CLOCK_MEM", "kTimeout": "NVML_ERROR_TIMEOUT",
                 "kGpmVersion": "NVML_GPM_METRICS_GET_VERSION", "kGpmVersion + 0": "NVML_GPM_SUPPORT_VERSION",
                 "kGpmGraphicsUtil": "NVML_GPM_METRIC_GRAPHICS_UTIL", "kGpmSmUtil": "NVML_GPM_METRIC_SM_UTIL",
                 "kGpmDramUtil": "NVML_GPM_METRIC_DRAM_BW_UTIL",
                 "kFieldRecoveryAction": "NVML_FI_DEV_GET_GPU_RECOVERY_ACTION"}
    lines += [f'static_assert(abi::{a} == {b}, "{a}");' for a, b in constants.items()]
    lines += ['static_assert(abi::version_of<abi::Memory_v2>(2) == nvmlMemory_v2, "nvmlMemory_v2");']
    source = tmp_path / "judge.cc"
    source.write_text(f"""
#define NVML_NO_UNVERSIONED_FUNC_DEFS
#include "{headers[0]}"
#include "slices/nvml_abi.h"
#include <tuple>
namespace abi = sheaf::slices::abi;
namespace ours {{
using namespace sheaf::slices;
#define DECLARE(symbol, parameters) inline abi::Return (*symbol) parameters = nullptr;
SHEAF_NVML_FUNCTIONS(DECLARE)
}}
template <class F> struct shape;
template <class R, class... P> struct shape<R (*)(P...)> {{
  template <class Q> static constexpr std::size_t target() {{
    using Plain = std::remove_pointer_t<Q>;
    if constexpr (std::is_pointer_v<Q> && std::is_object_v<Plain>) {{ if constexpr (requires {{ sizeof(Plain); }}) return sizeof(Plain); }}
    return 0;
  }}
  static constexpr std::size_t sizes[sizeof...(P) + 1] = {{sizeof(P)..., sizeof(R)}};
  static constexpr std::size_t count = sizeof...(P);
}};
template <class A, class B> constexpr bool alike() {{
  if (shape<A>::count != shape<B>::count) return false;
  for (std::size_t i = 0; i <= shape<A>::count; ++i) if (shape<A>::sizes[i] != shape<B>::sizes[i]) return false;
  return true;
}}
""" + "\n".join(lines))
    done = subprocess.run(["g++", "-std=c++20", "-fsyntax-only", f"-I{REPOSITORY / 'src'}", source], capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stderr


NVIDIA_ML_PY = """
import json, pynvml as n
n.nvmlInit()
out = {"driver": n.nvmlSystemGetDriverVersion(), "cuda": n.nvmlSystemGetCudaDriverVersion(), "gpus": []}
for i in range(n.nvmlDeviceGetCount()):
    d = n.nvmlDeviceGetHandleByIndex(i)
    g = {"name": n.nvmlDeviceGetName(d), "uuid": n.nvmlDeviceGetUUID(d), "bus": n.nvmlDeviceGetPciInfo(d).busId,
         "memory": n.nvmlDeviceGetMemoryInfo(d, n.nvmlMemory_v2).total, "temperature": n.nvmlDeviceGetTemperature(d, 0),
         "free": n.nvmlDeviceGetMemoryInfo(d, n.nvmlMemory_v2).free,
         "capability": "%d.%d" % n.nvmlDeviceGetCudaComputeCapability(d), "mig": None, "slices": [],
         "processes": sorted(p.pid for p in n.nvmlDeviceGetComputeRunningProcesses(d))}
    try:
        g["mig"] = n.nvmlDeviceGetMigMode(d)[0]
    except n.NVMLError_NotSupported:
        pass
    for m in range(n.nvmlDeviceGetMaxMigDeviceCount(d)):
        try:
            s = n.nvmlDeviceGetMigDeviceHandleByIndex(d, m)
        except n.NVMLError_NotFound:
            continue
        a = n.nvmlDeviceGetAttributes_v2(s)
        g["slices"].append({"uuid": n.nvmlDeviceGetUUID(s), "gi": n.nvmlDeviceGetGpuInstanceId(s),
                            "ci": n.nvmlDeviceGetComputeInstanceId(s), "memory": a.memorySizeMB << 20,
                            "free": n.nvmlDeviceGetMemoryInfo(s).free, "name": n.nvmlDeviceGetName(s)})
    out["gpus"].append(g)
print(json.dumps(out))
"""


def test_an_owed_reset_is_no_success(machine):
    here = machine("a100-40")
    here.drive("set", "0", "reset_blocked", "1")
    assert "MIG will be on after a reset" in here.sheaf("mig", "enable", code=1)
    assert "MIG will be on after a reset" in here.sheaf("mig", "create", "7 equal", code=1)
    here.drive("set", "0", "reset_blocked", "0")
    here.sheaf("mig", "enable")
    here.sheaf("mig", "create", "7 equal")


def cut_machine(machine):
    here = machine("a100-40", "h200-141", "l4", "rtx-4090")
    here.sheaf("mig", "enable", "--gpu", "0,1")
    here.sheaf("mig", "create", "--gpu", "0", "3g.20gb", "1c.2g.10gb", "1c.2g.10gb", "1g.5gb+me")
    here.sheaf("mig", "create", "--gpu", "1", "7", "equal")
    here.drive("process", "0", str(os.getpid()), str(1 << 30), "2", "0")
    here.drive("process", "2", str(os.getpid()), str(3 << 30))
    return here


def test_nvidia_ml_py_agrees(machine):
    here = cut_machine(machine)
    ours, theirs = here.facts(), here.python(NVIDIA_ML_PY)
    assert (ours["driver_version"], ours["cuda_version"]) == (theirs["driver"], theirs["cuda"])
    assert len(ours["gpus"]) == len(theirs["gpus"]) == 4
    for mine, other in zip(ours["gpus"], theirs["gpus"]):
        assert [mine[k] for k in ("name", "uuid", "bus_id", "memory_bytes", "free_bytes", "temperature_c")] == \
            [other[k] for k in ("name", "uuid", "bus", "memory", "free", "temperature")]
        assert mine["compute_capability"] == other["capability"]
        assert [p["pid"] for p in mine["processes"]] == other["processes"]
        assert (mine["mig"] and mine["mig"]["current"]) == (None if other["mig"] is None else bool(other["mig"]))
        slices = sorted((c["uuid"], i["id"], c["id"], i["memory_bytes"], i["free_bytes"], mine["name"] + " MIG " + c["profile"])
                        for i in (mine["mig"] or {"instances": []})["instances"] for c in i["compute_instances"])
        assert slices == sorted(tuple(s[k] for k in ("uuid", "gi", "ci", "memory", "free", "name")) for s in other["slices"])
    assert [len(g["slices"]) for g in theirs["gpus"]] == [4, 7, 0, 0]


SAMPLING = """
import json, time, pynvml as n
n.nvmlInit()
cards = [n.nvmlDeviceGetHandleByIndex(i) for i in range(n.nvmlDeviceGetCount())]
events = n.nvmlEventSetCreate()
for card in cards:
    n.nvmlDeviceRegisterEvents(card, n.nvmlEventTypeXidCriticalError, events)
print("watching", flush=True)
input()
def metrics(sample):
    first = sample(n.nvmlGpmSampleAlloc())
    time.sleep(0.11)
    second = sample(n.nvmlGpmSampleAlloc())
    asked = n.c_nvmlGpmMetricsGet_t()
    asked.version, asked.numMetrics, asked.sample1, asked.sample2 = n.NVML_GPM_METRICS_GET_VERSION, 3, first, second
    for i, metric in enumerate((n.NVML_GPM_METRIC_GRAPHICS_UTIL, n.NVML_GPM_METRIC_SM_UTIL, n.NVML_GPM_METRIC_DRAM_BW_UTIL)):
        asked.metrics[i].metricId = metric
    n.nvmlGpmMetricsGet(asked)
    for one in (first, second):
        n.nvmlGpmSampleFree(one)
    return [asked.metrics[i].value for i in range(3)]
out = {"gpm": [n.nvmlGpmQueryDeviceSupport(card).isSupportedDevice for card in cards],
       "sm_clock": [n.nvmlDeviceGetClockInfo(card, n.NVML_CLOCK_SM) for card in cards],
       "memory_clock": [n.nvmlDeviceGetClockInfo(card, n.NVML_CLOCK_MEM) for card in cards],
       "utilization": n.nvmlDeviceGetUtilizationRates(cards[2]).gpu,
       "card": metrics(lambda sample: n.nvmlGpmSampleGet(cards[1], sample)),
       "instance": metrics(lambda sample: n.nvmlGpmMigSampleGet(cards[0], GI, sample)), "xids": []}
try:
    while True:
        event = n.nvmlEventSetWait_v2(events, 200)
        out["xids"].append([n.nvmlDeviceGetUUID(event.device), event.eventData, event.gpuInstanceId])
except n.NVMLError_Timeout:
    pass
print(json.dumps(out))
"""


def test_nvidia_ml_py_samples_the_same(machine):
    """Loads by GPM, clocks and Xids, as `sheaf top` and NVIDIA's own binding read them."""
    here = machine("h200-141", "h100-80", "l4")
    here.sheaf("mig", "enable", "--gpu", "0")
    here.sheaf("mig", "create", "--gpu", "0", "1g.18gb")
    instance = here.facts()["gpus"][0]["mig"]["instances"][0]["id"]
    here.drive("load", f"0/{instance}", "60", "30", "12")
    here.drive("load", "1", "90", "40", "25")
    here.drive("load", "2", "70")
    here.drive("set", "1", "sm_clock_mhz", "1980")
    script = SAMPLING.replace("GI,", f"{instance},")
    judge = subprocess.Popen([sys.executable, "-c", script], env=here.environment, stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, text=True)
    top = subprocess.Popen([SHEAF, "top", "--json", "--interval", "300ms"], env=here.environment, stdout=subprocess.PIPE,
                           text=True)
    try:
        assert judge.stdout.readline() == "watching\n"
        top.stdout.readline()  # by now it watches too
        here.drive("xid", "1", "31", "3")
        here.drive("xid", "0", "94", "1", str(instance), "0")
        theirs = json.loads(judge.communicate("\n", timeout=60)[0])
        for _ in range(20):
            ours = {s["slice"]: s for s in json.loads(top.stdout.readline())["slices"]}
            if ours["gpu:1"]["xids"] == {"31": 3} and ours["gpu:0"]["xids"] == {"94": 1}:
                break
    finally:
        for one in (judge, top):
            one.kill()
            one.communicate()
    assert theirs["gpm"] == [1, 1, 0]
    assert [ours[f"gpu:{i}"]["sm_clock_mhz"] for i in range(3)] == theirs["sm_clock"] == [1410, 1980, 1410]
    assert [ours[f"gpu:{i}"]["memory_clock_mhz"] for i in range(3)] == theirs["memory_clock"]
    for name, percents in (("gpu:1", theirs["card"]), (f"mig:0/{instance}", theirs["instance"])):
        mine = ours[name]
        assert mine["load_source"] == "gpm"
        assert [mine["load"], mine["multiprocessor_load"], mine["memory_load"]] == [p / 100 for p in percents]
    assert (ours["gpu:2"]["load"], ours["gpu:2"]["load_source"]) == (theirs["utilization"] / 100, "nvml") == (0.7, "nvml")
    none = 0xFFFFFFFF
    assert sorted(theirs["xids"]) == sorted([[ours["gpu:1"]["uuid"], 31, none]] * 3 + [[ours["gpu:0"]["uuid"], 94, instance]])
    assert ours["gpu:1"]["xids"] == {"31": 3} and ours["gpu:0"]["xids"] == {"94": 1}


def test_gpustat_agrees(machine):
    here = cut_machine(machine)
    stats = here.python("import gpustat, json; print(json.dumps(gpustat.new_query().jsonify(), default=str))")
    ours = here.facts()["gpus"]
    assert [g["uuid"] for g in stats["gpus"]] == [g["uuid"] for g in ours]
    for mine, other in zip(ours, stats["gpus"]):
        assert other["name"] == mine["name"]
        assert other["memory.total"] == mine["memory_bytes"] >> 20
        assert other["temperature.gpu"] == mine["temperature_c"]
        assert other["power.draw"] == mine["power_mw"] // 1000
        assert sorted(p["pid"] for p in other["processes"] or []) == [p["pid"] for p in mine["processes"]]


def test_nvitop_agrees(machine):
    here = cut_machine(machine)
    theirs = here.python("""
import json
from nvitop import Device
print(json.dumps([{"name": d.name(), "uuid": d.uuid(), "total": d.memory_total(), "mig": d.is_mig_mode_enabled(),
                   "slices": [m.uuid() for m in d.mig_devices()]} for d in Device.all()]))
""")
    for mine, other in zip(here.facts()["gpus"], theirs):
        assert [mine["name"], mine["uuid"], mine["memory_bytes"]] == [other["name"], other["uuid"], other["total"]]
        instances = mine["mig"]["instances"] if mine["mig"] else []
        assert sorted(c["uuid"] for i in instances for c in i["compute_instances"]) == sorted(other["slices"])


# --- the command ---


def test_a_tree_of_cards_and_slices(machine):
    tree = cut_machine(machine).sheaf()
    assert "GPU 0 NVIDIA A100-SXM4-40GB GPU-" in tree
    assert "3g.20gb at memory slice 4 (GPU instance 2): 19.5 GiB, 18.5 GiB free" in tree
    assert re.search(r"└─ 3g.20gb mig:0/2 MIG-[0-9a-f-]{36}\n│        └─ process \d+ \S+ \(compute\): 1.0 GiB", tree), tree
    assert "no MIG" in tree


def test_without_a_card_it_says_why(machine):
    here = machine("l4")
    out = here.sheaf(SHEAF_NVML=str(here.folder / "none.so"))
    assert "no GPU: NVML cannot be opened" in out and "it comes with NVIDIA's driver" in out
    assert "NUMA node 0" in out


def test_visible_devices_bound_what_is_listed(machine):
    here = machine("l4", "l4")
    out = here.sheaf(CUDA_VISIBLE_DEVICES="1")
    assert [("outside" in line) for line in out.splitlines() if "─ GPU" in line] == [True, False]


MIG_PARTED = """
version: v1
mig-configs:
  all-disabled:
    - devices: all
      mig-enabled: false
  balanced:
    - device-filter: ["0x20B010DE", "0x20B210DE"]
      devices: all
      mig-enabled: true
      mig-devices:
        "1g.5gb": 2
        "2g.10gb": 1
        "3g.20gb": 1
    - device-filter: "0x233510DE"
      devices: all
      mig-enabled: true
      mig-devices: {"1c.3g.71gb": 3, "1g.18gb+me": 1}
"""


def test_mig_parteds_files_are_applied_exported_and_asserted(machine):
    here = machine("a100-40", "h200-141", "l4")
    file = here.folder / "config.yaml"
    file.write_text(MIG_PARTED)
    assert "name one of its labels with --label: all-disabled, balanced" in here.sheaf("apply", str(file), code=2)
    assert "MIG is off, not on" in here.sheaf("assert", str(file), "--label", "balanced", code=1)
    here.sheaf("apply", str(file), "--label", "balanced")
    here.sheaf("assert", str(file), "--label", "balanced")
    assert here.sheaf("apply", str(file), "--label", "balanced") == "nothing to change\n"
    for form in ("sheaf", "mig-parted"):
        saved = here.folder / f"{form}.yaml"
        saved.write_text(here.sheaf("export", "--format", form))
        here.sheaf("assert", str(saved))
        here.sheaf("mig", "destroy", "all", "--gpu", "all")
        assert "too few" in here.sheaf("assert", str(saved), code=1)
        here.sheaf("apply", str(saved))
        here.sheaf("assert", str(file), "--label", "balanced")
    here.sheaf("apply", str(file), "--label", "all-disabled")
    here.sheaf("assert", str(file), "--label", "all-disabled")


@pytest.mark.parametrize("text,complaint", [
    ("partitions:\n  - gpus: all\n    mig: true\n    instances: [7*1g.6gb]\n", "has no MIG profile 1g.6gb; it has 1g.5gb"),
    ("partitions:\n  - gpus: all\n    mig: perhaps\n", ".yaml:3: 'mig' is true or false"),
    ("partitions:\n  - gpu: 0\n    mig: true\n", ".yaml:2: 'gpu' is no key here; there are gpus, mig, instances"),
    ("partitions:\n  - gpus: [9]\n    mig: true\n", "there is no GPU 9"),
    ("partitions:\n  - mig: true\n    instances: [4g.20gb, 4g.20gb]\n", "do not fit on one NVIDIA A100-SXM4-40GB"),
    ("partitions: [", ".yaml:"),
    ("models: []\n", "holds neither mig-configs (mig-parted's) nor partitions (sheaf's)"),
    ("mig-configs:\n  a:\n    - devices: all\n      mig-enabled: true\n      mig-devices: {1g.5gb: many}\n", "a count from 0 to 64"),
])
def test_bad_files_change_nothing(machine, text, complaint):
    here = machine("a100-40")
    file = here.folder / "bad.yaml"
    file.write_text(text)
    before = here.facts()
    done = subprocess.run([SHEAF, "slices", "apply", file], env=here.environment, capture_output=True, text=True)
    assert done.returncode in (1, 2) and complaint in done.stderr, done.stderr
    assert here.facts() == before


def test_no_permission_names_the_capability(machine):
    here = machine("a100-40")
    here.drive("machine", "unprivileged", "1")
    assert "it needs CAP_SYS_ADMIN: run it as root" in here.sheaf("mig", "enable", code=1)
    here.drive("set", "0", "mig_current", "1")
    here.drive("set", "0", "mig_pending", "1")
    assert "mig/monitor" in here.sheaf("mig", "create", "1g.5gb", code=1)


def test_check_tells_of_an_idle_card_beside_a_crowded_one(machine):
    here = machine("h200-141", "h200-141")
    here.drive("load", "0", "95")
    here.drive("process", "0", "4711", str(1 << 30))

    def crowded():
        said = subprocess.run([SHEAF, "slices", "check", "--json"], env=here.environment, capture_output=True, text=True,
                              timeout=60).stdout
        return [one for one in json.loads(said) if "while nothing runs on" in one["what"]]

    assert crowded() == []
    here.drive("process", "0", "4712", str(1 << 30))
    (finding,) = crowded()
    assert finding["health"] == "warning" and finding["gpu"] == 0
    assert finding["what"] == "2 processes share it, 95 % busy, while nothing runs on GPU 1"
    assert "sheaf serve MODEL --slices gpu:0,gpu:1" in finding["repair"]
    here.drive("process", "1", "4713", str(1 << 30))
    assert crowded() == []


def test_check_tells_what_is_wrong(machine):
    here = machine("a100-40")
    here.drive("set", "0", "persistence", "0")
    here.drive("machine", "cuda_version", "11080")
    findings = json.loads(here.sheaf("check", "--json", code=2))
    off = [f for f in findings if f["what"] == "persistence mode is off"]
    assert off[0]["repair"] == "nvidia-smi -i 0 -pm 1" and off[0]["health"] == "warning" and off[0]["gpu"] == 0
    assert any("older than CUDA 12" in f["what"] for f in findings)
    here.drive("set", "0", "lost", "1")
    assert "GPU is lost" in here.sheaf("check", code=2)


def test_check_says_of_each_card_whether_this_build_computes_on_it(machine):
    here = machine("h200-141", "l4")

    def said():
        findings = json.loads(here.sheaf("check", "--json", code=2))
        return {(f["gpu"], f["what"]): f for f in findings if f["question"] == "run"}

    for gpu, capability in (0, "9.0"), (1, "8.9"):
        assert said()[gpu, f"compute capability {capability}: `make cuda-12` builds code for it"]["health"] == "ok"
    assert said()[None, "driver 570.133.20, CUDA 12.8 runs what `make cuda-12` builds"]["health"] == "ok"
    here.drive("machine", "driver_version", "470.256.02")
    here.drive("machine", "cuda_version", "11040")
    old = said()[None, "driver 470.256.02, CUDA 11.4 is older than CUDA 12 of what `make cuda-12` builds"]
    assert old["repair"] == "install driver 525 or newer"
    here.drive("machine", "driver_version", "580.65.06")
    here.drive("machine", "cuda_version", "13000")
    assert said()[None, "driver 580.65.06, CUDA 13.0 runs what `make cuda` builds"]["health"] == "ok"


def test_env_of_a_slice(machine):
    here = cut_machine(machine)
    uuid = here.facts()["gpus"][0]["mig"]["instances"][-1]["compute_instances"][0]["uuid"]
    facts = json.loads(here.sheaf("env", uuid, "--json"))
    assert facts["CUDA_VISIBLE_DEVICES"] == uuid and facts["slice"] == "mig:0/2"
    assert json.loads(here.sheaf("env", "mig:0/2", "--json")) == facts
    assert json.loads(here.sheaf("env", "gpu:2", "--json"))["docker"] == "docker run --gpus '\"device=2\"'"
    assert facts["docker"] == "docker run --gpus '\"device=0:0\"'"
    assert facts["kubernetes"] == "limits: {nvidia.com/mig-3g.20gb: 1}"
    # GPU instance 2 of card 0: 3 + 9 * 2, and its first compute instance after it.
    assert facts["slurm"].endswith("/dev/nvidia-caps/nvidia-cap21,/dev/nvidia-caps/nvidia-cap22")
    assert "no card and no MIG slice is 9" in here.sheaf("env", "9", code=1)


def test_env_of_cores_needs_no_driver():
    cores = sorted(os.sched_getaffinity(0))[:1]
    environment = {**os.environ, "SHEAF_NVML": "/nowhere/libnvidia-ml.so"}

    def env(*words):
        return subprocess.run([SHEAF, "slices", "env", *words], env=environment, capture_output=True, text=True, timeout=60)

    done = env(f"cores:{cores[0]}", "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts == {"slice": f"cores:{cores[0]}", "taskset": f"taskset --cpu-list {cores[0]}",
                     "docker": f"docker run --cpuset-cpus {cores[0]}", "slurm": f"srun --cpu-bind=map_cpu:{cores[0]}"}
    assert f"# taskset: taskset --cpu-list {cores[0]}" in env(f"cores:{cores[0]}").stdout
    confined = subprocess.run([*facts["taskset"].split(), "python3", "-c", "import os; print(os.sched_getaffinity(0))"],
                              capture_output=True, text=True, timeout=60)
    assert confined.stdout.strip() == str(set(cores))
    absent, wrong = env("cores:4000"), env("cores:all")
    assert absent.returncode == 1 and "core 4000 of cores:4000 is none that may be used here" in absent.stderr
    assert wrong.returncode == 2 and "'all' is no list of cores" in wrong.stderr
    assert env("gpu:0").returncode == 1


def test_try_names_no_flag_that_it_does_not_have():
    environment = {**os.environ, "SHEAF_NVML": "/nowhere/libnvidia-ml.so"}
    done = subprocess.run([SHEAF, "slices", "try", MODEL_FOLDER], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and done.stderr and "--device" not in done.stderr, done.stderr


# --- the helper ---


class Helper:
    def __init__(self, machine, *flags):
        self.process = subprocess.Popen([SHEAF, "slices", "daemon", *flags], env=machine.environment,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.first = self.process.stdout.readline()

    def __enter__(self):
        assert "listening" in self.first, self.process.stderr.read()
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(20)
        self.log = self.process.stderr.read()


def test_the_helper_cuts_for_others(machine):
    here = machine("a100-40")
    with Helper(here) as helper:
        here.sheaf("mig", "enable")
        assert "create 1g.5gb at memory slice 6" in here.sheaf("mig", "create", "1g.5gb")
        assert "has no MIG profile 9g" in here.sheaf("mig", "create", "9g", code=1)
        second = Helper(here)
        assert second.process.wait(20) == 1
        assert "a helper listens at" in second.process.stderr.read()
        # Two at once: one waits for the other, and both come true.
        here.drive("hang", "nvmlDeviceCreateGpuInstanceWithPlacement", "300")
        both = [subprocess.Popen([SHEAF, "slices", "mig", "create", profile], env=here.environment, stdout=subprocess.PIPE)
                for profile in ("2g.10gb", "1g.5gb+me")]
        assert [one.wait(30) for one in both] == [0, 0]
        for one in both:
            one.stdout.close()
    assert helper.process.returncode == 0
    assert "asked: create 1g.5gb: 2 steps" in helper.log
    names = sorted(i["profile"] for i in here.facts()["gpus"][0]["mig"]["instances"])
    assert names == ["1g.5gb", "1g.5gb+me", "2g.10gb"]


def test_the_second_is_refused_by_name_without_a_helper(machine):
    here = machine("a100-40")
    here.sheaf("mig", "enable")
    here.drive("hang", "nvmlDeviceCreateGpuInstanceWithPlacement", "3000")
    first = subprocess.Popen([SHEAF, "slices", "mig", "create", "1g.5gb"], env=here.environment, stdout=subprocess.PIPE)
    deadline = time.monotonic() + 20
    while not (here.folder / "run/journal").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    refused = here.sheaf("mig", "create", "2g.10gb", "--wait", "0s", code=1)
    assert f"are being changed by sheaf slices create 1g.5gb (process {first.pid})" in refused
    assert first.wait(30) == 0
    first.stdout.close()


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_helper_killed_in_the_middle_undoes_at_its_next_start(machine, when):
    here = machine("a100-40")
    here.sheaf("mig", "enable")
    here.sheaf("mig", "create", "3g.20gb@4")
    before = here.facts()["gpus"][0]["mig"]
    with Helper(here) as helper:
        here.drive("kill", "nvmlDeviceCreateGpuInstanceWithPlacement", when, "1")
        assert "the helper ended before it answered" in here.sheaf("mig", "create", "1g.5gb", "1g.5gb", code=1)
        assert helper.process.wait(20) == -signal.SIGKILL
    assert here.facts()["gpus"][0]["mig"] != before
    with Helper(here) as helper:
        assert here.facts()["gpus"][0]["mig"] == before
    assert "a change that was cut off was undone: create 1g.5gb 1g.5gb" in helper.log
