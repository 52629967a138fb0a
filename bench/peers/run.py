"""The engine against onnxruntime fp32: same texts, same threads, taking turns in one run.

    python run.py BENCH_PROGRAM MODEL_FOLDER [--threads 1,2] [--rounds 15] [--out docs/benchmarks/NAME.json]

BENCH_PROGRAM is build/release/bin/sheaf-engine-bench. onnxruntime gets padded batches and a mask, runs the graph that
export_onnx.py writes, as it is and after its own transformer optimizer, and the faster of the two counts. Token ids are
random, lengths are what each workload says. Prints and writes the medians over the rounds, and ratios above 1 where the
engine is faster. Needs torch, transformers, onnx, onnxruntime, numpy.
"""

import argparse
import json
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnxruntime as ort

HERE = pathlib.Path(__file__).parent
SECONDS_PER_WORKLOAD = 60  # then rounds end early, though not before the third


def workloads():
    """Name -> batches, each a list of texts, each a list of ids."""
    rng = np.random.default_rng(1)

    def text(length):
        return [101, *rng.integers(1000, 30000, max(0, length - 2)).tolist(), 102][:length]

    lengths = np.clip(np.rint(rng.lognormal(np.log(60), 0.8, 8 * 32)), 1, 256).astype(int)
    return {
        "16 tokens x 1": [[text(16)] for _ in range(16)],
        "50 tokens x 1": [[text(50)] for _ in range(8)],
        "128 tokens x 16": [[text(128) for _ in range(16)]],
        "256 tokens x 8": [[text(256) for _ in range(8)]],
        "log-normal lengths, batches of 32": [[text(n) for n in lengths[i:i + 32]] for i in range(0, len(lengths), 32)],
    }


def write_workload(path, batches):
    path.write_text("".join(";".join(" ".join(map(str, t)) for t in batch) + "\n" for batch in batches))


def pad(batch):
    longest = max(map(len, batch))
    ids = np.zeros((len(batch), longest), np.int64)
    mask = np.zeros_like(ids)
    for row, text in enumerate(batch):
        ids[row, :len(text)] = text
        mask[row, :len(text)] = 1
    return {"input_ids": ids, "attention_mask": mask}


class Engine:
    """sheaf-engine-bench as a child that runs its workload whenever it is asked."""

    def __init__(self, program, model, batches, threads, folder):
        write_workload(folder / "workload", batches)
        self.child = subprocess.Popen(
            [program, model, folder / "workload", "--threads", str(threads), "--vectors", folder / "vectors"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.start = json.loads(self.child.stdout.readline())
        self.vectors = np.fromfile(folder / "vectors", np.float32).reshape(sum(map(len, batches)), -1)

    def run(self):
        self.child.stdin.write("\n")
        self.child.stdin.flush()
        return json.loads(self.child.stdout.readline())

    def close(self):
        self.child.stdin.close()
        self.child.wait()


class Ort:
    def __init__(self, graph, batches, threads):
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        self.session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self.batches = [pad(batch) for batch in batches]
        self.vectors = np.concatenate([self.session.run(None, batch)[0] for batch in self.batches])

    def run(self):
        wall, cpu = time.perf_counter(), time.process_time()
        for batch in self.batches:
            self.session.run(None, batch)
        return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def make_graphs(model, folder):
    plain, optimized = folder / "plain.onnx", folder / "optimized.onnx"
    if optimized.exists():
        return {"plain": str(plain), "optimized": str(optimized)}
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, HERE / "export_onnx.py", model, plain], check=True, capture_output=True)
    from onnxruntime.transformers import optimizer
    config = json.loads((pathlib.Path(model) / "config.json").read_text())
    optimizer.optimize_model(str(plain), "bert", num_heads=config["num_attention_heads"],
                             hidden_size=config["hidden_size"], opt_level=0).save_model_to_file(str(optimized))
    return {"plain": str(plain), "optimized": str(optimized)}


def cosine(a, b):
    return ((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min()


def compare(args, graphs, batches, threads, folder):
    engine = Engine(args.program, args.model, batches, threads, folder)
    peers = {name: Ort(graph, batches, threads) for name, graph in graphs.items()}
    times = {"engine": [], **{name: [] for name in peers}}
    until = time.monotonic() + SECONDS_PER_WORKLOAD
    while len(times["engine"]) < 3 or (len(times["engine"]) < args.rounds and time.monotonic() < until):
        for name, contender in {"engine": engine, **peers}.items():
            time.sleep(0.05)  # onnxruntime's idle threads spin for a while: let them fall asleep
            times[name].append(contender.run())
    engine.close()
    medians = {name: statistics.median(v[args.clock] for v in values) for name, values in times.items()}
    fastest = {name: min(v[args.clock] for v in values) for name, values in times.items()}
    best = min(peers, key=medians.get)
    tokens = sum(len(text) for batch in batches for text in batch)
    return {
        "threads": threads, "tokens": tokens, "rounds": len(times["engine"]),
        "engine_tokens_per_s": round(tokens / medians["engine"]), "engine_ms": round(1e3 * medians["engine"], 3),
        "ort_tokens_per_s": round(tokens / medians[best]), "ort_ms": round(1e3 * medians[best], 3),
        "ort_graph": best,
        "ratio": round(medians[best] / medians["engine"], 3),
        "ratio_of_fastest_rounds": round(fastest[best] / fastest["engine"], 3),
        "min_cosine": float(cosine(engine.vectors, peers[best].vectors)),
        "start": engine.start,
    }


def machine():
    model = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    return {"processor": model[0] if model else platform.processor(), "cores": len(model),
            "kernel": platform.release()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("model")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", default="", help="workloads whose name contains this")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall",
                        help="cpu: the processes' own CPU time, for one thread on a busy machine")
    parser.add_argument("--graphs", type=pathlib.Path, help="folder that keeps the exported graphs between runs")
    parser.add_argument("--out", type=pathlib.Path)
    args = parser.parse_args()
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=HERE, capture_output=True, text=True)
    report = {"commit": commit.stdout.strip(), "machine": machine(), "onnxruntime": ort.__version__, "clock": args.clock, "results": {}}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        graphs = make_graphs(args.model, args.graphs or folder)
        for workload, batches in workloads().items():
            if args.only not in workload:
                continue
            rows = [compare(args, graphs, batches, int(n), folder) for n in args.threads.split(",")]
            report["results"][workload] = rows
            for row in rows:
                print(f"{workload:36} {row['threads']} threads  engine {row['engine_ms']:9.2f} ms  ort "
                      f"{row['ort_ms']:9.2f} ms ({row['ort_graph']})  ratio {row['ratio']:.2f} "
                      f"(fastest {row['ratio_of_fastest_rounds']:.2f})  cosine {row['min_cosine']:.7f}", flush=True)
                report["device"] = row.pop("start")["device"]
    if args.out:
        args.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
