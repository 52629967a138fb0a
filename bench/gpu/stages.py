"""The stages of bench/gpu/run. Each keeps its cells in `results` as it goes, and gives whether all went well."""

import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

import cells
import checkpoints
import programs
import rounds
import served
import shared
import workload
from results import text_of

HERE = pathlib.Path(__file__).resolve().parent
FIRST_ID, LAST_ID = 4, 70  # that all of the small tokenizers have
ACCURACY_TEXTS, ACCURACY_TOKENS = 32, 16_384  # so many at least: with fewer rows some kernels are not taken
LATENCY_TEXTS = 200


def parity(args, results):
    names = ["card_parity_test", "card_engine_test"]
    if args.device == "cpu":
        names = ["kernels_cuda_test", "emulated_card_test"]
    commands = {name: [programs.path_of(name, args.device)] for name in names}
    if args.device == "cuda":  # operations of tests have too few rows for the kernels to be taken by themselves
        commands["always by warpgroups"] = by_warpgroups("always", commands["card_parity_test"])
    for name, command in commands.items():
        if not results.has(name) or results.cells[name]["failed"]:
            results.keep(name, **run_tests(command, args.out / f"{name}.log"))
    return all(figures["failed"] == 0 and figures["passed"] > 0 for figures in results.cells.values())


SANITIZER_S = 100  # a tool: operations take a hundred times as long under it; those of whom there was time count


def sanitize(args, results):
    """Findings of compute-sanitizer; its exit code is 0 without any."""
    sanitizer = shutil.which("compute-sanitizer")
    if args.device != "cuda" or sanitizer is None:
        print("compute-sanitizer is not here", file=sys.stderr)
        return False
    for tool in ("memcheck", "racecheck", "initcheck"):
        if results.has(tool) and results.cells[tool]["clean"]:
            continue
        command = ["timeout", str(SANITIZER_S), sanitizer, "--tool", tool, "--error-exitcode", "9",
                   programs.path_of("card_parity_test", args.device)]
        command = by_warpgroups("always", command)
        with open(args.out / f"{tool}.log", "w") as log:
            code = subprocess.run(command, cwd=programs.ROOT, stdout=log, stderr=subprocess.STDOUT).returncode
        said = (args.out / f"{tool}.log").read_text()
        found = said.count("========= Invalid") + said.count("Race reported") + said.count("Uninitialized")
        results.keep(tool, **{"tests run": said.count("[       OK ]"), "findings": found, "to the end": code != 124,
                              "clean": found == 0 and code in (0, 124) and "[       OK ]" in said})
    return all(figures["clean"] for figures in results.cells.values())


def run_tests(command, log):
    """A crash counts as a failure: of the test that was under way, none else is known."""
    with tempfile.TemporaryDirectory() as folder, open(log, "w") as output:
        report = pathlib.Path(folder) / "report.json"
        code = subprocess.run([*command, f"--gtest_output=json:{report}"], cwd=programs.ROOT, stdout=output,
                              stderr=subprocess.STDOUT).returncode
        if not report.exists():
            return {"passed": 0, "failed": 1, "exit code": code}
        found = json.loads(report.read_text())
    skipped = sum(test.get("result") == "SKIPPED" for suite in found["testsuites"] for test in suite["testsuite"])
    failed = max(found["failures"], 1 if code else 0)
    return {"passed": found["tests"] - found["failures"] - skipped, "failed": failed, "skipped": skipped, "exit code": code}


def texts_for(cell, count):
    return workload.texts_of([cell.length] * count, FIRST_ID, LAST_ID)


def batches_for(args, cell):
    """On a card about a tenth of a second of work at the goal's rate, two batches at least."""
    batch_tokens = programs.BATCH_TOKENS[args.device]
    texts = max(1, batch_tokens // cell.length)
    batches = min(32, max(2, round(cell.goal * 0.1 / batch_tokens))) if args.device == "cuda" else 2
    all_texts = texts_for(cell, texts * batches)
    return [all_texts[i:i + texts] for i in range(0, len(all_texts), texts)]


def engine_command(args, model, work, vectors, dtype=""):
    return [programs.path_of("sheaf-engine-bench", args.device), model, work, *programs.backend(args.device, dtype),
            "--vectors", vectors]


def by_warpgroups(when, command):
    """The same with such kernels "always" where they compute what is asked for, or, by "0", as other cards do it."""
    return ["env", f"SHEAF_CUDA_WARPGROUPS={when}", *command]


def in_half_blocks(command):
    """The same with as few rows at a time for narrow models as for others."""
    return ["env", "SHEAF_CUDA_BLOCK_ROWS=8192", *command]


def torch_command(args, model, work, vectors, *more):
    return [sys.executable, HERE / "torch_peer.py", model, work, "--device", args.device, "--vectors", vectors, *more]


def cosines(one, other, texts):
    a, b = (np.fromfile(path, np.float32).reshape(texts, -1).astype(np.float64) for path in (one, other))
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def accuracy(args, cell, model, folder):
    """Mean and least cosine of the engine to PyTorch in float32, over a few texts."""
    work = folder / "accuracy"
    texts = max(ACCURACY_TEXTS, -(-ACCURACY_TOKENS // cell.length)) if args.device == "cuda" else ACCURACY_TEXTS
    workload.write(work, [texts_for(cell, texts)])
    commands = [engine_command(args, model, work, folder / "own", cell.dtype),
                torch_command(args, model, work, folder / "exact", "--dtype", "float32")]
    for command in commands:
        rounds.Contender("accuracy", command, folder).close()
    found = cosines(folder / "own", folder / "exact", texts)
    return {"cosine": float(found.mean()), "least": float(found.min())}


def rates_of(args, commands, tokens, folder):
    """Name -> tokens a second of each round, taking turns."""
    contenders = []
    try:
        for name, command in commands.items():
            contenders.append(rounds.Contender(name, command, folder))
        times = rounds.take_turns(contenders, args.rounds, args.seconds, "wall")
    finally:
        for contender in contenders:
            contender.close()
    return {name: [tokens / seconds for seconds in values] for name, values in times.items()}


def each_cell(args, results, measure, found=None):
    """A cell that fails is printed, and the next one has its turn."""
    fine = True
    for cell in cells.chosen(args.only, found):
        if results.has(cell.name):
            continue
        try:
            model = checkpoints.checkpoint(cell.model, args.work)
            with tempfile.TemporaryDirectory() as folder:
                figures = measure(cell, model, pathlib.Path(folder))
        except (rounds.LeftOut, served.Failed) as error:
            print(f"{cell.name}: {error}", file=sys.stderr, flush=True)
            fine = False
            continue
        results.keep(cell.name, **figures)
        print(f"{cell.name}: " + ", ".join(f"{key} {text_of(value)}" for key, value in figures.items()), flush=True)
    return fine


def engine(args, results):
    def measure(cell, model, folder):
        batches = batches_for(args, cell)
        workload.write(folder / "work", batches)
        command = engine_command(args, model, folder / "work", folder / "vectors", cell.dtype)
        commands = {"own": command}
        if args.device == "cuda":
            commands["without"] = by_warpgroups("0", command)
            if cell.model in cells.NARROW:
                commands["half"] = in_half_blocks(command)
        rates = rates_of(args, commands, workload.tokens_of(batches), folder)
        spread = rounds.spread(rates["own"])
        others = {"without": "over without warpgroups", "half": "over half blocks"}
        gain = {others[name]: rounds.ratios(rates["own"], rates[name])["median"] for name in rates if name in others}
        return {"tokens/s": spread["median"], "low": spread["low"], "high": spread["high"], "goal": cell.goal,
                "of goal": spread["median"] / cell.goal, "TFLOP/s": spread["median"] * cell.flop / 1e12, **gain,
                **accuracy(args, cell, model, folder)}

    def one_text(cell, model, folder):
        workload.write(folder / "work", [[text] for text in texts_for(cell, LATENCY_TEXTS)])
        command = engine_command(args, model, folder / "work", folder / "vectors")
        values = rates_of(args, {"own": command}, LATENCY_TEXTS, folder)["own"]
        return {"µs": 1e6 / statistics.median(values), "goal µs": cells.LATENCY_GOAL_US}

    return all([each_cell(args, results, measure, cells.CELLS + (cells.FP8 + cells.INT8 if args.device == "cuda" else [])),
                each_cell(args, results, one_text, [cells.LATENCY])])


LOADED = [cell for cell in cells.CELLS if (cell.model, cell.length) in (("minilm-l6", 50), ("bert-base", 50))]
STARTS = 5
COPIES = 7


def load(args, results):
    """From the packed file's pages to the first vector, by a new process and by one that has a context already."""
    link = link_bytes_per_s() if args.device == "cuda" else None

    def measure(cell, model, folder):
        workload.write(folder / "work", [[text] for text in texts_for(cell, 1)])
        command = [*engine_command(args, model, folder / "work", folder / "vectors"), "--openings", str(args.rounds)]
        starts, again = [], []
        for _ in range(STARTS):
            start_s, openings = start(command)
            starts.append(start_s)
            again += openings
        opened, answered = (statistics.median(one[key] for one in again) for key in ("open_seconds", "answered_seconds"))
        rate = again[0]["packed_bytes"] / opened
        # On a processor nothing is brought anywhere.
        link_s = {"GB/s": rate / 1e9, "of link": rate / link} if link else {}
        return {"start s": statistics.median(starts), "MB": again[0]["packed_bytes"] / 1e6, "back ms": 1e3 * answered, **link_s,
                **cells.LOAD_GOALS[cell.model]}

    return each_cell(args, results, measure, LOADED)


def start(command):
    """Seconds from a process's start to its first answers, but for packing, and what it says of each opening after that."""
    started = time.monotonic()
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        took = time.monotonic() - started
        again = [json.loads(later) for later in process.stdout]
    if process.returncode != 0 or not again:
        raise served.Failed(f"{command[0]} ended with {process.returncode}")
    return took - json.loads(line)["pack_seconds"], again


def link_bytes_per_s():
    """From pinned memory to the card, by PyTorch."""
    import torch

    pinned = torch.empty(256 << 20, dtype=torch.uint8, pin_memory=True)
    there = torch.empty_like(pinned, device="cuda")
    rates = []
    for _ in range(COPIES):
        torch.cuda.synchronize()
        started = time.monotonic()
        there.copy_(pinned, non_blocking=True)
        torch.cuda.synchronize()
        rates.append(pinned.numel() / (time.monotonic() - started))
    return statistics.median(rates)


def peers(args, results):
    def measure(cell, model, folder):
        batches = batches_for(args, cell)
        workload.write(folder / "work", batches)
        commands = {"sheaf": engine_command(args, model, folder / "work", folder / "own"),
                    "PyTorch": torch_command(args, model, folder / "work", folder / "torch"),
                    "compiled": torch_command(args, model, folder / "work", folder / "compiled", "--compile")}
        rates = rates_of(args, commands, workload.tokens_of(batches), folder)
        best = [max(pair) for pair in zip(rates["PyTorch"], rates["compiled"])]
        figures = {name: statistics.median(values) for name, values in rates.items()}
        return figures | {"sheaf over best": rounds.spread([own / peer for own, peer in zip(rates["sheaf"], best)])["median"]}

    return each_cell(args, results, measure)


# Two ways to compute two batches at once: (replicas, streams of each).
SIDE_BY_SIDE = {"2 streams": (1, 2), "2 replicas": (2, 1)}
SERVED = [cell for cell in cells.CELLS if cell.model == "bert-base" and cell.length in (50, 512)]


def serve(args, results):
    def measure(cell, model, folder):
        batches = batches_for(args, cell)
        workload.write(folder / "work", batches)
        command = engine_command(args, model, folder / "work", folder / "vectors")
        alone = statistics.median(rates_of(args, {"own": command}, workload.tokens_of(batches), folder)["own"])
        rate = served.tokens_per_s(args, model, cell.length, folder)
        others = {f"{words} over one": served.tokens_per_s(args, model, cell.length, folder, replicas, streams) / rate
                  for words, (replicas, streams) in (SIDE_BY_SIDE if args.device == "cuda" else {}).items()}
        return {"served tokens/s": rate, "engine tokens/s": alone, "share": rate / alone, "goal": 0.9, **others}

    return each_cell(args, results, measure, SERVED)


SHARED_BY = ((1, 1), (2, 1), (4, 1))  # replicas, streams of each
SHARED_ON_CARDS = ((1, 2), (2, 2))
LEAST_COSINE = 0.999  # of their vectors, in bfloat16


def share(args, results):
    """Of one model. On a card one copy is brought, whoever ends; on a processor there is none to bring."""
    model = checkpoints.checkpoint("bert-base", args.work)
    copies = 1 if args.device == "cuda" else 0
    for replicas, streams in SHARED_BY + (SHARED_ON_CARDS if args.device == "cuda" else ()):
        name = f"bert-base, {replicas} replicas" + (f" on {streams} streams" if streams > 1 else "")
        if results.has(name):
            continue
        try:
            with tempfile.TemporaryDirectory() as folder:
                figures = shared.figures(args, model, replicas, streams, pathlib.Path(folder))
        except served.Failed as error:
            print(f"{name}: {error}", file=sys.stderr, flush=True)
            return False
        results.keep(name, **figures)
    return all(figures["copies"] == copies and figures["least cosine"] > LEAST_COSINE for figures in results.cells.values())
