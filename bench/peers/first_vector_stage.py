"""One text, from the start of a process to the last byte of its vector: `sheaf embed` against Python programs that import
a peer, load what MiniLM was converted to and print. Models are in the page cache: a round nobody counts comes first.
sheaf is given the text, its peers (contender.py) the ids, so that none pays for a tokenizer of somebody else."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np

import rounds
import workload

HERE = pathlib.Path(__file__).resolve().parent
TEXT = "Press the red button twice to restart the pump."
REFERENCE = "sentence-transformers"
PEERS = ["onnxruntime", "onnxruntime, optimized", "OpenVINO", "ctranslate2", "llama.cpp f32", REFERENCE]


class Program:
    """Started anew for every turn; its answer is a line."""

    def __init__(self, name, command, given, vector_of, folder):
        self.name, self.command, self.given, self.vector_of = name, [str(word) for word in command], given, vector_of
        self.errors, self.vector = folder / "errors", None

    def run(self):
        with open(self.errors, "w") as errors:
            start = time.perf_counter()
            child = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                                     preexec_fn=rounds.end_with_parent)
            child.stdin.write(self.given)
            child.stdin.close()
            line = child.stdout.readline()
            wall = time.perf_counter() - start
            child.stdout.close()
            _, status, used = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0 or not line.endswith(b"\n"):
            said = self.errors.read_text().strip().splitlines() or [f"ended with {child.returncode}"]
            raise rounds.LeftOut(said[-1][:300])
        self.vector = self.vector_of(line)
        return {"wall": wall, "cpu": used.ru_utime + used.ru_stime}


def ids_of(model):
    import tokenizers
    tokenizer = tokenizers.Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.no_padding()
    return tokenizer.encode(TEXT).ids


def programs(args, folder):
    workload.write(folder / "workload", [[ids_of(args.minilm)]])
    own = [args.bin / "sheaf", "embed", "--model", args.minilm]
    yield Program("sheaf", own, TEXT.encode() + b"\n", lambda line: json.loads(line)["embedding"], folder)
    for name in PEERS:
        if any(part in name for part in args.peers):
            vectors = folder / name.replace(" ", "_").replace(",", "")
            command = [sys.executable, HERE / "contender.py", name, args.minilm, folder / "workload", "--threads", args.threads,
                       "--vectors", vectors, "--converted", args.work / "converted/minilm"]
            yield Program(name, command, b"", lambda _, vectors=vectors: np.fromfile(vectors, np.float32), folder)


def warm(found):
    """Those whose first turn succeeds, and why the others are left out."""
    ready, left_out = [], {}
    for program in found:
        try:
            program.run()
            ready.append(program)
        except rounds.LeftOut as reason:
            left_out[program.name] = str(reason)
    if "sheaf" in left_out:
        raise SystemExit(f"sheaf itself does not run: {left_out['sheaf']}")
    return ready, left_out


def cosine(a, b):
    return float(np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b))


def row_of(program, times, reference):
    row = {"seconds": rounds.spread(times[program.name]), "times": times[program.name]}
    if program.name != "sheaf":
        row["sheaf_is_faster"] = rounds.ratios(times[program.name], times["sheaf"])
    if reference is not None:
        row["cosine"] = cosine(np.asarray(program.vector, np.float64), np.asarray(reference, np.float64))
    return row


def print_table(result):
    print(f"\nfirst vector of a process, {result['tokens']} tokens, {result['rounds']} rounds\n{'':26}{'ms':>9}{'spread':>8}{'sheaf x':>9}  cosine")
    for name, row in sorted(result["results"].items(), key=lambda item: item[1]["seconds"]["median"]):
        seconds = row["seconds"]
        ratio = f"{row['sheaf_is_faster']['median']:.2f}" if "sheaf_is_faster" in row else ""
        exact = f"{row['cosine']:.7f}" if "cosine" in row else ""
        print(f"{name:26}{seconds['median'] * 1e3:9,.1f}{(seconds['high'] - seconds['low']) / seconds['median']:8.1%}{ratio:>9}  {exact}")
    for name, reason in result["left_out"].items():
        print(f"{name}: left out, {reason}"[:80])


def run(args):
    if not args.minilm:
        raise SystemExit("The stage first-vector needs --minilm FOLDER")
    args.minilm = pathlib.Path(args.minilm)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        ready, left_out = warm(programs(args, folder))
        times = rounds.take_turns(ready, args.rounds, args.seconds, args.clock)
        reference = next((p.vector for p in ready if p.name == REFERENCE), None)
        rows = {program.name: row_of(program, times, reference) for program in ready}
        tokens = len(workload.read(folder / "workload")[0][0])
    peers = [name for name in rows if name != "sheaf"]
    result = {"name": "first vector of a process", "model": "minilm", "text": TEXT, "tokens": tokens, "threads": args.threads,
              "rounds": len(times["sheaf"]), "clock": args.clock, "results": rows, "left_out": left_out,
              "best_peer": min(peers, key=lambda name: rows[name]["seconds"]["median"]) if peers else None}
    print_table(result)
    return {"results": [result]}
