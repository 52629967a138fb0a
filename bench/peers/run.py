"""sheaf and its peers from PyPI on the same work and threads, taking turns in one run.

    python run.py --bin build/release/bin --work build/peers [STAGE...] [--threads N] [--rounds N]

Stages are in STAGES. Each prints a table and writes docs/benchmarks/peers_STAGE.json: medians and quartiles of the rounds,
ratios paired by round, accuracy, and the rate of matrix products measured in the same rounds. Models are made or found
once and kept, with what peers convert them to, in the folder --work.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

import first_vector_stage
import rounds
import tokenizer_stage
import workload

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
REFERENCE, PEAK = "sentence-transformers", "matrix peak"
ENCODER_PEERS = ["onnxruntime", "onnxruntime, optimized", "OpenVINO", "ctranslate2", "llama.cpp f32", REFERENCE]
OWN_PRECISIONS = ["sheaf bfloat16", "sheaf int8"]
PRECISION_PEERS = ["OpenVINO", "OpenVINO bf16", "onnxruntime", "onnxruntime int8", "ctranslate2 bf16", "ctranslate2 int8",
                   "llama.cpp q8_0", REFERENCE, "sentence-transformers bf16"]


@dataclasses.dataclass
class Work:
    name: str
    model: str  # a name of checkpoints.SHAPES, or "minilm"
    batches: list
    peers: list
    rounds: int | None = None  # else as the command says
    own: list = dataclasses.field(default_factory=list)  # of OWN_PRECISIONS


def precision_of(name):
    """Which of sheaf's contenders one is to be held against."""
    if "bf16" in name or "bfloat16" in name:
        return "sheaf bfloat16"
    return "sheaf int8" if "int8" in name or "q8_0" in name else "sheaf"


def bert(lengths, batch, last=30000, seed=1):
    texts = workload.texts_of(lengths, 1000 if last > 1000 else 10, last, [101] if last > 1000 else [2],
                              [102] if last > 1000 else [3], seed)
    return [texts[i:i + batch] for i in range(0, len(texts), batch)]


CELL_TOKENS = 2048  # of a cell's round at least, so that a round is long enough to be timed


def cell(tokens, batch, model, peers, last=30000):
    texts = batch * max(1, CELL_TOKENS // (tokens * batch))
    return Work(f"{tokens} tokens x {batch}", model, bert([tokens] * texts, batch, last), peers)


def minilm():
    lengths = np.clip(np.rint(np.random.default_rng(1).lognormal(np.log(60), 0.8, 8 * 32)), 4, 512).astype(int)
    def work(name, batches):
        return Work(name, "minilm", batches, ENCODER_PEERS)
    return [*(cell(tokens, batch, "minilm", ENCODER_PEERS) for tokens in (16, 50, 128, 256) for batch in (1, 16, 64)),
            work("log-normal lengths, batches of 32", bert(lengths, 32)),
            work("the same, sorted by length", bert(sorted(lengths), 32))]


def bert_base():
    return [cell(tokens, batch, "bert-base", ENCODER_PEERS, 70) for tokens, batch in ((128, 1), (128, 16), (512, 1), (512, 4))]


def precisions():
    lengths = np.clip(np.rint(np.random.default_rng(1).lognormal(np.log(60), 0.8, 8 * 32)), 4, 512).astype(int)
    def work(name, model, batches):
        return Work(name, model, batches, PRECISION_PEERS, own=OWN_PRECISIONS)
    return [work("16 tokens x 1", "minilm", bert([16] * 16, 1)), work("50 tokens x 64", "minilm", bert([50] * 64, 64)),
            work("128 tokens x 16", "minilm", bert([128] * 16, 16)),
            work("log-normal lengths, batches of 32", "minilm", bert(lengths, 32)),
            work("128 tokens x 16", "bert-base", bert([128] * 16, 16, 70))]


def pairs(count, tokens):
    """As XLM-RoBERTa joins them: <s> query </s> </s> document </s>."""
    queries = workload.texts_of([20] * count, 4, 3000, [0], [2], seed=2)
    documents = workload.texts_of([tokens - 20] * count, 4, 3000, [2], [2], seed=3)
    return [[a + b for a, b in zip(queries, documents)]]


def rerank():
    return [Work("32 pairs of 256 tokens", "bge-reranker-v2-m3-6-layers", pairs(32, 256), ENCODER_PEERS)]


def rerank_whole():
    return [Work("32 pairs of 256 tokens", "bge-reranker-v2-m3", pairs(32, 256), ["onnxruntime", REFERENCE], rounds=3)]


def qwen3():
    text = workload.texts_of([512], 10, 690, end=[0])
    return [Work("512 tokens", "qwen3-0.6b", [text],
                 ["llama.cpp f32", "llama.cpp f32, 1024 words", "llama.cpp q8_0", REFERENCE])]


STAGES = {"rerank": rerank, "qwen3": qwen3, "tokenizers": None, "rerank-whole": rerank_whole, "minilm": minilm,
          "bert-base": bert_base, "precisions": precisions, "first-vector": None}
OTHER_STAGES = {"tokenizers": tokenizer_stage, "first-vector": first_vector_stage}


def flop_of(config, batches):
    """Multiplications and additions of products of matrices: what no way of computing the model avoids."""
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    head = config.get("head_dim") or hidden // heads
    kv_heads = config.get("num_key_value_heads") or heads
    causal = config["model_type"] == "qwen3"
    linear = 2 * hidden * (2 * heads + 2 * kv_heads) * head + (3 if causal else 2) * 2 * hidden * config["intermediate_size"]
    lengths = [len(text) for batch in batches for text in batch]
    seen = sum(n * (n + 1) / 2 if causal else n * n for n in lengths)
    return config["num_hidden_layers"] * (linear * sum(lengths) + 4 * seen * heads * head)


def model_folder(name, args):
    if name == "minilm":
        if not args.minilm:
            raise SystemExit("The stage minilm needs --minilm FOLDER")
        return args.minilm
    import checkpoints
    return checkpoints.checkpoint(name, args.work)


def command_of(name, args, model, paths):
    common = [model, paths["workload"], "--threads", args.threads, "--vectors", paths["vectors"]]
    if name == "sheaf" or name in OWN_PRECISIONS:
        return [args.bin / "sheaf-engine-bench", *common, "--dtype", name.partition(" ")[2] or "float32"]
    return [sys.executable, HERE / "contender.py", name, *common, "--converted", args.work / "converted" / paths["model"]]


def start_all(work, args, model, folder):
    """The contenders that run, the answers of each, and why the others do not."""
    started, answers, left_out = [], {}, {}
    peers = [name for name in work.peers if any(part in name for part in args.peers)]
    for name in ["sheaf", *work.own, *peers, PEAK]:
        own = folder / name.replace(" ", "_").replace(",", "")
        own.mkdir()
        paths = {"workload": folder / "workload", "vectors": own / "vectors", "model": work.model}
        print(f"  starting {name}", file=sys.stderr, flush=True)
        try:
            started.append(rounds.Contender(name, command_of(name, args, model, paths), own))
        except rounds.LeftOut as reason:
            left_out[name] = str(reason)
            print(f"  {name} is left out: {reason}", file=sys.stderr, flush=True)
            continue
        if paths["vectors"].exists():
            texts = sum(map(len, work.batches))
            answers[name] = np.fromfile(paths["vectors"], np.float32).reshape(texts, -1).astype(np.float64)
    return started, answers, left_out


def accuracy(answers, reference):
    if reference.shape[1] == 1:
        return {"max_difference": float(abs(answers - reference).max()), "reference_deviation": float(reference.std())}
    cosines = (answers * reference).sum(1) / np.linalg.norm(answers, axis=1) / np.linalg.norm(reference, axis=1)
    return {"min_cosine": float(cosines.min()), "mean_cosine": float(cosines.mean())}


def row_of(contender, times, flop, tokens, answers):
    own = times[contender.name]
    row = {"seconds": rounds.spread(own), "times": own, "tokens_per_s": round(tokens / rounds.spread(own)["median"], 1),
           "start": contender.start}
    if PEAK in times:
        row["share_of_peak"] = rounds.spread([flop / seconds / rate for seconds, rate in zip(own, times[PEAK])])
    if contender.name in OWN_PRECISIONS:
        row["faster_than_float32"] = rounds.ratios(times["sheaf"], own)
    elif contender.name != "sheaf":
        row["against"] = precision_of(contender.name) if precision_of(contender.name) in times else "sheaf"
        row["sheaf_is_faster"] = rounds.ratios(own, times[row["against"]])
    if contender.name in answers and REFERENCE in answers:
        row["accuracy"] = accuracy(answers[contender.name], answers[REFERENCE])
    return row


def goal_of(rows, peak_shares):
    """Of each round: what sheaf did of min(1.25 x the best peer in float32, 85 % of the matrix peak)."""
    peers = [row["times"] for name, row in rows.items() if not name.startswith("sheaf") and precision_of(name) == "sheaf"]
    if not peers:
        return None
    ahead = [min(others) / own / 1.25 for own, *others in zip(rows["sheaf"]["times"], *peers)]
    return rounds.spread([max(a, share / 0.85) for a, share in zip(ahead, peak_shares)])


def compare(work, args):
    model = model_folder(work.model, args)
    config = json.loads((model / "config.json").read_text())
    tokens, flop = workload.tokens_of(work.batches), flop_of(config, work.batches)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        workload.write(folder / "workload", work.batches)
        started, answers, left_out = start_all(work, args, model, folder)
        try:
            if not started or started[0].name != "sheaf":
                raise SystemExit(f"sheaf itself does not run: {left_out['sheaf']}")
            times = rounds.take_turns(started, work.rounds or args.rounds, args.seconds, args.clock)
        finally:
            for contender in started:
                contender.close()
    peak = next((c.start for c in started if c.name == PEAK), None)
    if peak:  # from seconds to operations a second
        times[PEAK] = [peak["gflop"] * 1e9 / seconds for seconds in times[PEAK]]
    rows = {c.name: row_of(c, times, flop, tokens, answers) for c in started if c.name != PEAK}
    def best_of(precision):
        peers = [name for name in rows if not name.startswith("sheaf") and precision_of(name) == precision]
        return min(peers, key=lambda name: rows[name]["seconds"]["median"]) if peers else None
    shares = [flop / seconds / rate for seconds, rate in zip(times["sheaf"], times.get(PEAK, []))]
    return {"name": work.name, "share_of_goal": goal_of(rows, shares) if shares else None, "model": work.model, "config": config, "threads": args.threads, "tokens": tokens,
            "gflop": flop * 1e-9, "rounds": len(times["sheaf"]), "clock": args.clock,
            "matrix_peak": peak and {"gflop_per_s": rounds.spread([rate * 1e-9 for rate in times[PEAK]]),
                                     "library": peak["version"], "at_start": peak["gflop_per_s"]},
            "best_peer": best_of("sheaf"), "best_peers": {name: best_of(name) for name in work.own},
            "results": rows, "left_out": left_out}


def print_table(result):
    peak = result["matrix_peak"]
    print(f"\n{result['model']}, {result['name']}, {result['threads']} threads, {result['rounds']} rounds"
          + (f"; peak {peak['gflop_per_s']['median']:.0f} GFLOP/s, {peak['library']}" if peak else ""))
    if result["share_of_goal"]:
        print(f"of the goal, 1.25 x the best peer or 85 % of the peak: {result['share_of_goal']['median']:.2f}")
    print(f"{'':26}{'ms':>9}{'spread':>8}{'tok/s':>9}{'peak':>6}{'sheaf x':>9}  accuracy")
    for name, row in sorted(result["results"].items(), key=lambda item: item[1]["seconds"]["median"]):
        seconds = row["seconds"]
        spread = (seconds["high"] - seconds["low"]) / seconds["median"]
        share = f"{row['share_of_peak']['median']:.0%}" if peak else ""
        ratio = f"{row['sheaf_is_faster']['median']:.2f}" if "sheaf_is_faster" in row else ""
        exact = row.get("accuracy", {})
        right = f"{exact['min_cosine']:.7f}" if "min_cosine" in exact else (
            f"+-{exact['max_difference']:.1e}" if exact else "")
        print(f"{name:26}{seconds['median'] * 1e3:9,.1f}{spread:8.1%}{row['tokens_per_s']:9,.0f}{share:>6}{ratio:>9}  {right}")
    for name, reason in result["left_out"].items():
        print(f"{name}: left out, {reason}"[:80])
    sys.stdout.flush()


def commit():
    done = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=HERE, capture_output=True, text=True)
    return done.stdout.strip()


def write(report, stage, args):
    if args.out:
        (args.out / f"peers_{stage}.json").write_text(json.dumps(report, indent=1) + "\n")


def kept_results(stage, args):
    """With --only, what an earlier run found of other work stays; each row says by which commit."""
    path = args.out / f"peers_{stage}.json" if args.out else None
    return json.loads(path.read_text()).get("results", []) if args.only and path and path.exists() else []


def run_stage(stage, args):
    report = {"commit": commit(), "machine": rounds.machine(), "stage": stage}
    if stage in OTHER_STAGES:
        report |= OTHER_STAGES[stage].run(args)
    else:
        results = {(result["model"], result["name"]): result for result in kept_results(stage, args)}
        works = STAGES[stage]()
        for work in works:
            if args.only in work.name:
                result = compare(work, args) | {"commit": report["commit"], "load_after": round(os.getloadavg()[0], 2)}
                print_table(result)
                results[(work.model, work.name)] = result
                # As soon as it is there: a long stage may be cut.
                report["results"] = [results[(w.model, w.name)] for w in works if (w.model, w.name) in results]
                write(report, stage, args)
        shares = [r["share_of_goal"]["median"] for r in report["results"] if r.get("share_of_goal")]
        if shares:
            report["share_of_goal_mean"] = float(np.exp(np.mean(np.log(shares))))
            print(f"\n{stage}: geometric mean of shares of the goal {report['share_of_goal_mean']:.3f}, least {min(shares):.3f}")
    report["load_after"] = round(os.getloadavg()[0], 2)
    write(report, stage, args)
    if args.out:
        print(f"Written: {args.out / f'peers_{stage}.json'}")


def main():
    parser = argparse.ArgumentParser(description="stages: " + ", ".join(STAGES))
    parser.add_argument("stages", nargs="*", metavar="STAGE", default=[])
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/release/bin")
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "build/peers", help="keeps models; some GB")
    parser.add_argument("--minilm", type=pathlib.Path, help="folder of all-MiniLM-L6-v2")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=900, help="for the rounds of one row of a table")
    parser.add_argument("--only", default="", help="work whose name contains this")
    parser.add_argument("--peers", type=lambda names: names.split(","), default=[""],
                        help="those whose name contains one of these, separated by commas")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "docs/benchmarks")
    args = parser.parse_args()
    for stage in args.stages:
        if stage not in STAGES:
            parser.error(f"there is no stage '{stage}', only " + ", ".join(STAGES))
    for stage in args.stages or STAGES:
        run_stage(stage, args)


if __name__ == "__main__":
    main()
