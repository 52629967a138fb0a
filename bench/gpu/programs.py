"""The programs that are measured, and the machine that they run on: a card, or to try the script a processor."""

import functools
import hashlib
import os
import pathlib
import platform
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
# In a bundle, in a checkout.
FOLDERS = {"cuda": [ROOT / "bin", ROOT / "build/cuda/bin"], "cpu": [ROOT / "build/release/bin"]}
DTYPE = {"cuda": "bfloat16", "cpu": "float32"}
BACKEND = {"cuda": ["--backend", "cuda bfloat16"], "cpu": ["--dtype", "float32"]}  # of sheaf-engine-bench
BATCH_TOKENS = {"cuda": 32768, "cpu": 512}


def backend(device, dtype):
    """Flags of sheaf-engine-bench; without a dtype the one that is measured there."""
    return ["--backend", f"{device} {dtype}"] if dtype else BACKEND[device]


def folder(device):
    return next((path for path in FOLDERS[device] if path.is_dir()), None)


def path_of(name, device):
    on_card = {"sheaf-engine-bench": "sheaf-engine-bench-cuda"} if device == "cuda" else {}
    return folder(device) / on_card.get(name, name)


def need(device):
    builds = {"cuda": "`make gpu-bundle`", "cpu": "`make build`, then `ninja -C build/release sheaf-engine-bench`,"}[device]
    if folder(device) is None or not path_of("sheaf-engine-bench", device).exists():
        raise SystemExit(f"no programs in {' or '.join(map(str, FOLDERS[device]))}; {builds} builds them")
    os.environ["LD_LIBRARY_PATH"] = ":".join(filter(None, [*library_folders(), os.environ.get("LD_LIBRARY_PATH")]))
    if device == "cuda":
        need_card()


def need_card():
    """The bench program looks for its card before it reads its arguments, of which it misses some."""
    done = subprocess.run([path_of("sheaf-engine-bench", "cuda")], capture_output=True, text=True)
    if done.returncode == 1:
        raise SystemExit(done.stderr.strip())


def library_folders():
    """Of the bundle, and where PyTorch's packages or a toolkit have cuBLASLt of CUDA 13."""
    places = [ROOT / "lib", *(pathlib.Path(path) / "nvidia/cu13/lib" for path in sys.path),
              *(pathlib.Path("/usr/local").glob("cuda*/lib64")), *(pathlib.Path("/usr/local").glob("cuda*/lib"))]
    return [str(place) for place in places if place.is_dir()]


def first_line(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        return done.stdout.strip().splitlines()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        return "unknown"


def commit():
    written = ROOT / "commit"  # by gpu_bundle.sh
    return written.read_text().strip() if written.exists() else first_line(["git", "-C", str(ROOT), "rev-parse", "HEAD"])


@functools.cache
def fingerprint(folder):
    """Of all programs in it."""
    whole = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        whole.update(path.read_bytes())
    return whole.hexdigest()[:16]


def machine(device):
    card = driver = "none"
    if device == "cuda":
        found = first_line(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"])
        card, _, driver = (part.strip() for part in found.partition(","))
    return {"card": card, "driver": driver, "commit": commit(), "cores": len(os.sched_getaffinity(0)),
            "kernel": platform.release(), "programs": fingerprint(folder(device))}
