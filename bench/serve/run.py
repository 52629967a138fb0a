#!/usr/bin/env python3
"""Measures a whole server on this machine and keeps the result as JSON (make bench).

  idle        one text of 16 tokens at a time, one replica: client's time less the replica's compute time
  throughput  64 clients, 16 texts of 50 tokens a request, against the engine in-process, taking turns
  router      with a replica that answers at once: requests of 16 texts a second, their CPU time in the router by
              stage, and the idle overhead without a model that empties the caches
  start       process start to first vector, model in the page cache
  memory      what a replica, and one more, hold after one short text each

Every server is started here, on ports that the system chooses, and ended by its pid.
"""

import argparse
import json
import os
import pathlib
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

DTYPE = "float32"  # which every machine has; what is measured is the way around the model
ROOT = pathlib.Path(__file__).resolve().parents[2]


class Server:
    def __init__(self, bin_dir, model, *flags):
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [bin_dir / "sheaf", "serve", f"bench={model}", "--port", "0", "--grpc-port", "0",
             "--log-level", "warn", "--dtype", DTYPE, *flags],
            stdout=subprocess.PIPE, text=True)
        self.url = json.loads(self.process.stdout.readline())["http"]

    def first_vector_s(self):
        body = json.dumps({"input": "first"}).encode()
        request = urllib.request.Request(self.url + "/v1/embeddings", body,
                                         {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=60).read()
        return time.monotonic() - self.started

    def cpu_s(self):
        """Exact, unlike the sampled ticks of /proc/PID/stat, of which a request takes a hundredth."""
        tasks = pathlib.Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) * 1e-9

    def metrics(self):
        return urllib.request.urlopen(self.url + "/metrics", timeout=10).read().decode()

    def stages_s(self):
        found = re.findall(r'^sheaf_router_stage_seconds_total\{stage="(\w+)"\} (\S+)', self.metrics(), re.M)
        return {stage: float(value) for stage, value in found}

    def requests(self):
        return sum(float(n) for n in re.findall(r"^te_request_count\{.*\} (\S+)", self.metrics(), re.M))

    def address(self):
        return self.url.removeprefix("http://")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def load(bin_dir, server, *flags):
    """One step of `sheaf bench` as a dictionary."""
    out = subprocess.run([bin_dir / "sheaf", "bench", "--server", server.address(), "--json", *flags],
                         check=True, capture_output=True, text=True).stdout
    return json.loads(out)["steps"][0]


class Engine:
    """The engine without a server: runs its workload once for every line it is sent."""

    def __init__(self, bin_dir, model, threads, path, tokens):
        self.tokens = tokens
        self.process = subprocess.Popen(
            [bin_dir / "sheaf-engine-bench", model, path, "--threads", str(threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.device = json.loads(self.process.stdout.readline())["device"]

    def tokens_per_s(self, seconds):
        runs, spent = 0, 0.0
        while spent < seconds:
            self.process.stdin.write("\n")
            self.process.stdin.flush()
            spent += json.loads(self.process.stdout.readline())["wall"]
            runs += 1
        return runs * self.tokens / spent

    def stop(self):
        self.process.stdin.close()
        self.process.wait(60)


def write_workload(path, batches, texts, tokens):
    rng = random.Random(7)
    with open(path, "w") as file:
        for _ in range(batches):
            line = (" ".join(["101"] + [str(rng.randrange(1000, 29000)) for _ in range(tokens - 2)] + ["102"])
                    for _ in range(texts))
            file.write(";".join(line) + "\n")
    return batches * texts * tokens


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "n": len(values)}


def measure_idle(bin_dir, model, rounds):
    with Server(bin_dir, model, "--num-replicas", "1") as server:
        server.first_vector_s()
        steps = [load(bin_dir, server, "--batch-sizes", "1", "--concurrency", "1", "--prompt-length", "16",
                      "--duration", "3s") for _ in range(rounds)]
    return {"overhead_us_p50": spread([s["overhead_us_p50"] for s in steps]),
            "latency_ms_p50": spread([s["latency_ms"]["p50"] for s in steps]),
            "tokens_per_text": steps[0]["tokens_per_text"]}


def measure_throughput(bin_dir, model, rounds, cores):
    workload = ROOT / "build" / "serve-workload.txt"
    tokens = write_workload(workload, 4, 16, 50)
    engine = Engine(bin_dir, model, cores, workload, tokens)
    served, in_process, cpu_us, stages_us = [], [], [], []
    with Server(bin_dir, model, "--num-replicas", str(cores)) as server:
        server.first_vector_s()
        flags = ["--batch-sizes", "16", "--concurrency", "64", "--prompt-length", "50", "--duration", "10s"]
        for _ in range(rounds):
            in_process.append(engine.tokens_per_s(5))
            cpu, stages, requests = server.cpu_s(), server.stages_s(), server.requests()
            step = load(bin_dir, server, *flags)
            requests = server.requests() - requests  # the warm-up's too, as in the CPU time
            served.append(step["tokens_per_s"])
            cpu_us.append((server.cpu_s() - cpu) * 1e6 / requests)
            stages_us.append({k: (v - stages[k]) * 1e6 / requests for k, v in server.stages_s().items()})
            errors = step["errors"]
            if errors:
                raise SystemExit(f"{errors} requests failed: {step.get('first_error')}")
    engine.stop()
    return {"device": engine.device,
            "served_tokens_per_s": spread(served),
            "in_process_tokens_per_s": spread(in_process),
            "ratio": spread([a / b for a, b in zip(served, in_process)]),
            "router_cpu_us_per_request": spread(cpu_us),
            "router_stage_us_per_request": {k: statistics.median(s[k] for s in stages_us)
                                            for k in stages_us[0]}}


def measure_router(bin_dir, model, rounds):
    """The router alone: its replica answers at once, with vectors of the model's size."""
    with tempfile.TemporaryDirectory() as folder:
        for path in model.iterdir():
            (pathlib.Path(folder) / path.name).symlink_to(path.resolve())
        dimensions = json.loads((model / "config.json").read_text())["hidden_size"]
        (pathlib.Path(folder) / "dimensions").write_text(str(dimensions))
        cpu_us, stages_us, rates, idle_us = [], [], [], []
        with Server(bin_dir, folder, "--num-replicas", "1", "--replica-program", bin_dir / "sheaf-replica-fake") as server:
            server.first_vector_s()
            for _ in range(rounds):
                cpu, stages, requests = server.cpu_s(), server.stages_s(), server.requests()
                step = load(bin_dir, server, "--batch-sizes", "16", "--concurrency", "64", "--prompt-length", "50",
                            "--duration", "3s")
                requests = server.requests() - requests
                rates.append(step["requests_per_s"])
                cpu_us.append((server.cpu_s() - cpu) * 1e6 / requests)
                stages_us.append({k: (v - stages[k]) * 1e6 / requests for k, v in server.stages_s().items()})
                idle_us.append(load(bin_dir, server, "--batch-sizes", "1", "--concurrency", "1", "--prompt-length",
                                    "16", "--duration", "2s")["overhead_us_p50"])
    return {"texts_per_request": 16,
            "requests_per_s": spread(rates),
            "cpu_us_per_request": spread(cpu_us),
            "stage_cpu_us_per_request": {k: statistics.median(s[k] for s in stages_us) for k in stages_us[0]},
            "idle_overhead_us_p50": spread(idle_us)}


def measure_start(bin_dir, model, rounds):
    seconds = []
    for _ in range(rounds):
        with Server(bin_dir, model, "--num-replicas", "2") as server:
            seconds.append(server.first_vector_s())
    return {"first_vector_s": spread(seconds)}


def values_of_smaps(text, field):
    return [int(kib) / 1024 for kib in re.findall(rf"^{field}:\s+(\d+) kB", text, re.M)]


def replica_memory(pid):
    """MiB. What is private would go with the process; of the packed weights it counts what it has touched, by huge pages."""
    rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    def of(field):
        return values_of_smaps(rollup, field)[0]
    mappings = re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", pathlib.Path(f"/proc/{pid}/smaps").read_text(), flags=re.M)
    weights = sum(values_of_smaps(mapping, "Rss")[0] for mapping in mappings if "/memfd:sheaf-weights" in mapping)
    return {"resident_mib": of("Rss"), "proportional_mib": of("Pss"), "anonymous_mib": of("Anonymous"),
            "private_mib": of("Private_Dirty") + of("Private_Clean"), "weights_mapped_mib": weights}


def packed_mib(pid):
    """Of the weights' memfd: what the machine keeps for all replicas together."""
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        if os.readlink(fd).startswith("/memfd:sheaf-weights"):
            return os.stat(fd).st_blocks * 512 / 2**20
    raise SystemExit(f"process {pid} holds no weights")


def layers_mib(model):
    """Matrices of a BERT's layers in float32: what every text touches."""
    config = json.loads((model / "config.json").read_text())
    hidden = config["hidden_size"]
    return config["num_hidden_layers"] * 4 * (4 * hidden**2 + 2 * hidden * config["intermediate_size"]) / 2**20


def measure_memory(bin_dir, model):
    found = {"layers_mib": layers_mib(model)}
    for replicas in (1, 2):
        with Server(bin_dir, model, "--num-replicas", str(replicas)) as server:
            server.first_vector_s()
            for _ in range(100):  # until each has had a text
                fleet = json.loads(urllib.request.urlopen(server.url + "/v1/fleet", timeout=10).read())["replicas"]
                if len(fleet) == replicas and all(replica["batches"] > 0 for replica in fleet):
                    break
                load(bin_dir, server, "--batch-sizes", "1", "--concurrency", "2", "--prompt-length", "8", "--requests", "4")
            found[f"{replicas}_replicas"] = [replica_memory(replica["pid"]) for replica in fleet]
            found["packed_mib"] = packed_mib(fleet[0]["pid"])
    return found


def machine():
    cpuinfo = pathlib.Path("/proc/cpuinfo").read_text()
    flags = set(re.search(r"^flags\s*:\s*(.*)$", cpuinfo, re.M).group(1).split())
    known = ["avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_tile"]
    return {"cpu": re.search(r"^model name\s*:\s*(.*)$", cpuinfo, re.M).group(1),
            "cores": len(os.sched_getaffinity(0)),
            "instruction_sets": [f for f in known if f in flags]}


def commit():
    git = ["git", "-C", str(ROOT)]
    head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    dirty = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True).stdout
    return head + ("+changes" if dirty else "")


STAGES = {
    "start": lambda args: measure_start(args.bin, args.model, args.rounds),
    "memory": lambda args: measure_memory(args.bin, args.model),
    "router": lambda args: measure_router(args.bin, args.model, args.rounds),
    "idle": lambda args: measure_idle(args.bin, args.model, args.rounds),
    "throughput": lambda args: measure_throughput(args.bin, args.model, args.rounds, len(os.sched_getaffinity(0))),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path, help="folder of all-MiniLM-L6-v2")
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/release/bin")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "docs/benchmarks/serve.json")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=STAGES, help="measure this alone; a file that is there keeps the rest as it is")
    args = parser.parse_args()
    about = {"commit": commit(), "machine": machine(), "dtype": DTYPE, "date": time.strftime("%Y-%m-%d")}
    result = json.loads(args.out.read_text()) if args.only and args.out.exists() else about
    for name, measure in STAGES.items():
        if args.only not in (None, name):
            continue
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        result[name] = measure(args) | ({"commit": about["commit"], "date": about["date"]} if args.only else {})
        print(json.dumps({name: result[name]}, indent=2), flush=True)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
