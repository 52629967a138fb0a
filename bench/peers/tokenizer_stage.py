"""sheaf's tokenizer against Hugging Face's, one thread each, on the same lines of text; then by itself on several threads,
and on hostile texts of growing length."""

import json
import math
import os
import pathlib
import random
import statistics
import sys
import tempfile

import rounds

HERE = pathlib.Path(__file__).resolve().parent
TESTS = HERE.parents[1] / "tests"
LINES = {"English": 3000, "Chinese": 6000, "mixed scripts": 6000}
# Enough for the frequent of the words that texts are made of to be one token each, as with a real vocabulary.
WORDS = 30_000
GOALS = {"BPE": 10, "Unigram": 5, "WordPiece": 10, "WordPiece, MiniLM, English": 25}
# Repeated without end: long words, spaces, marks, clusters and digits, which slower rules stumble over.
HOSTILE = {"letters": "ab", "spaces": " ", "marks": "\u0301", "Han": "\u4e2d", "emoji": "\U0001f469\u200d", "apostrophes": "'",
           "digits": "1", "words": "un "}
BYTES = [1_000, 10_000, 100_000, 1_000_000]
SLOPES = (0.9, 1.1)  # that the time is in proportion to the length


def is_chinese(text):
    return any("\u4e00" <= letter <= "\u9fff" for letter in text)


def mixed_scripts(prose, count):
    """Lines of words of one of many languages each, in any order."""
    rng = random.Random(103)
    samples = [text.split() if " " in text[:40] else list(text) for text in prose.values()]
    for _ in range(count):
        words = rng.choice(samples)
        glue = " " if max(map(len, words)) > 1 else ""
        yield glue.join(rng.choices(words, k=rng.randint(8, 40)))


def texts(byte_level):
    """Name -> lines that no tokenizer here was trained on: made-up words in natural frequencies, and many scripts."""
    english = (text for text in byte_level.natural_text(101, 4 * LINES["English"], 0.0) if text.isascii())
    chinese = (text for text in byte_level.natural_text(102, 2 * LINES["Chinese"], 0.9) if is_chinese(text))
    mixed = mixed_scripts(byte_level.texts.PROSE, LINES["mixed scripts"])
    return {name: list(lines)[:LINES[name]] for name, lines in zip(LINES, (english, chinese, mixed))}


def tokenizers(args, byte_level):
    """Name -> tokenizer.json; those that have to be trained are kept."""
    args.work.mkdir(parents=True, exist_ok=True)
    found = {}
    for name, make in {"Qwen3": byte_level.qwen3, "Gemma": byte_level.gemma}.items():
        path = found[f"BPE, {name}"] = args.work / f"{name.lower()}-{WORDS}.json"
        if not path.exists():
            print(f"  training a tokenizer of {WORDS:,} words", file=sys.stderr, flush=True)
            path.write_text(json.dumps(make(vocab_size=WORDS)))
    found["Unigram, XLM-RoBERTa"] = TESTS / "golden/tokenizer/unigram.json"
    if args.minilm:
        found["WordPiece, MiniLM"] = args.minilm / "tokenizer.json"
    return found


def take_turns(commands, folder, args, count=None):
    """Times and what was said at the start, by contender."""
    one_thread = {"RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    contenders = [rounds.Contender(who, command, folder, one_thread) for who, command in commands.items()]
    try:
        times = rounds.take_turns(contenders, count or args.rounds, args.seconds, args.clock)
    finally:
        for contender in contenders:
            contender.close()
    return times, {contender.name: contender.start for contender in contenders}


def write_lines(folder, lines):
    path = pathlib.Path(folder) / "text"
    path.write_text("\n".join(lines) + "\n")
    return path


def goal_of(tokenizer, text):
    return GOALS.get(f"{tokenizer}, {text}") or GOALS[tokenizer.split(",")[0]]


def compare(name, path, language, lines, args):
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        text = write_lines(folder, lines)
        times, starts = take_turns(
            {"sheaf": [args.bin / "tokenizer_io", path, "--time", text, folder / "sheaf"],
             "tokenizers": [sys.executable, HERE / "tokenizer_contender.py", path, text, folder / "tokenizers"]}, folder, args)
        equal = (folder / "sheaf").read_bytes() == (folder / "tokenizers").read_bytes()
    size = sum(len(line.encode()) for line in lines)
    return {"tokenizer": name, "text": language, "bytes": size, "rounds": len(times["sheaf"]), "clock": args.clock,
            "ids_are_equal": equal, "goal": goal_of(name, language),
            "mb_per_s": {who: rounds.spread([size * 1e-6 / seconds for seconds in own]) for who, own in times.items()},
            "sheaf_is_faster": rounds.ratios(times["tokenizers"], times["sheaf"]), "times": times, "starts": starts}


def compare_all(paths, lines_of, args):
    print(f"\nMB/s, one of {os.cpu_count()} cores\n{'':36}{'sheaf':>9}{'tokenizers':>12}{'sheaf x':>9}{'goal':>6}  ids equal")
    for name, path in paths.items():
        for language, lines in lines_of.items():
            if args.only not in f"{name} {language}":
                continue
            row = compare(name, path, language, lines, args)
            rates = {who: rate["median"] for who, rate in row["mb_per_s"].items()}
            print(f"{name + ', ' + language:36}{rates['sheaf']:9.1f}{rates['tokenizers']:12.2f}"
                  f"{row['sheaf_is_faster']['median']:9.1f}{row['goal']:6}  {'yes' if row['ids_are_equal'] else 'NO'}", flush=True)
            yield row


def scaling(name, path, lines, args):
    """How many times as much several threads do as one. By processor time, which leaves out that others want the cores:
    what threads cost each other by sharing caches and memory."""
    threads = max(args.threads, 2)
    with tempfile.TemporaryDirectory() as folder:
        command = [args.bin / "tokenizer_io", path, "--time", write_lines(folder, lines), pathlib.Path(folder) / "ids"]
        times, _ = take_turns({"one": command, "all": [*command, threads]}, pathlib.Path(folder), args)
    gain = threads if args.clock == "cpu" else 1
    return {"tokenizer": name, "threads": threads, "clock": args.clock, "times": times,
            "times_as_fast": rounds.spread([gain * one / all_ for one, all_ in zip(times["one"], times["all"])])}


def slope(name, path, what, unit, args):
    """Of the logarithm of the time over that of the length: 1 where twice the text takes twice the time. Of the best rounds,
    since what disturbs them only adds to short times."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        commands = {}
        for size in BYTES:
            (folder / str(size)).mkdir()
            text = write_lines(folder / str(size), [unit * (size // len(unit.encode()))])
            commands[size] = [args.bin / "tokenizer_io", path, "--time", text, folder / "ids"]
        times, _ = take_turns(commands, folder, args, min(args.rounds, 3))
    lengths = [math.log(size) for size in BYTES]
    best = [math.log(min(seconds)) for seconds in times.values()]
    return {"tokenizer": name, "text": what, "clock": args.clock, "times": times,
            "slope": statistics.linear_regression(lengths, best).slope}


def threads_of_all(paths, lines_of, args):
    for name, path in paths.items():
        if args.only not in f"{name} threads":
            continue
        row = scaling(name, path, lines_of["English"], args)
        print(f"{name}: {row['threads']} threads are {row['times_as_fast']['median']:.2f} times as fast as one", flush=True)
        yield row


def slopes_of_all(paths, args):
    for name, path in paths.items():
        own = {}
        for what, unit in HOSTILE.items():
            if args.only in f"{name} slope {what}":
                row = slope(name, path, what, unit, args)
                own[what] = row["slope"]
                yield row
        if own:
            outside = [what for what, value in own.items() if not SLOPES[0] <= value <= SLOPES[1]]
            print(f"{name}: slopes on hostile texts of {BYTES[0]:,} to {BYTES[-1]:,} bytes {min(own.values()):.2f} ({min(own, key=own.get)}) "
                  f"to {max(own.values()):.2f} ({max(own, key=own.get)}); outside {SLOPES[0]} to {SLOPES[1]}: "
                  f"{', '.join(outside) or 'none'}", flush=True)


def run(args):
    sys.path.insert(0, str(TESTS / "tokenizer"))
    import byte_level
    lines_of, paths = texts(byte_level), tokenizers(args, byte_level)
    return {"results": list(compare_all(paths, lines_of, args)), "threads": list(threads_of_all(paths, lines_of, args)),
            "slopes": list(slopes_of_all(paths, args))}
