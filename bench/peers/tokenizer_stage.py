"""sheaf's tokenizer against Hugging Face's, one thread each, on the same lines of text."""

import json
import os
import pathlib
import sys
import tempfile

import rounds

HERE = pathlib.Path(__file__).resolve().parent
TESTS = HERE.parents[1] / "tests"
LINES = {"English": 3000, "Chinese": 6000}
# Enough for the frequent of the words that texts are made of to be one token each, as with a real vocabulary.
WORDS = 30_000
GOALS = {"BPE": 10, "Unigram": 5, "WordPiece": 25}


def is_chinese(text):
    return any("\u4e00" <= letter <= "\u9fff" for letter in text)


def texts(byte_level):
    """Name -> lines of made-up words in natural frequencies, which no tokenizer here was trained on."""
    english = (text for text in byte_level.natural_text(101, 4 * LINES["English"], 0.0) if text.isascii())
    chinese = (text for text in byte_level.natural_text(102, 2 * LINES["Chinese"], 0.9) if is_chinese(text))
    return {"English": list(english)[:LINES["English"]], "Chinese": list(chinese)[:LINES["Chinese"]]}


def tokenizers(args, byte_level):
    """Name -> tokenizer.json; the one that has to be trained is kept."""
    golden = TESTS / "golden/tokenizer"
    qwen = args.work / f"qwen3-{WORDS}.json"
    if not qwen.exists():
        args.work.mkdir(parents=True, exist_ok=True)
        print(f"  training a tokenizer of {WORDS:,} words", file=sys.stderr, flush=True)
        qwen.write_text(json.dumps(byte_level.qwen3(vocab_size=WORDS)))
    found = {"BPE, Qwen3": qwen, "Unigram, XLM-RoBERTa": golden / "unigram.json"}
    if args.minilm:
        found["WordPiece, MiniLM"] = args.minilm / "tokenizer.json"
    return found


def compare(name, path, language, lines, args):
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        text = folder / "text"
        text.write_text("\n".join(lines) + "\n")
        commands = {"sheaf": [args.bin / "tokenizer_io", path, "--time", text, folder / "sheaf"],
                    "tokenizers": [sys.executable, HERE / "tokenizer_contender.py", path, text, folder / "tokenizers"]}
        one_thread = {"RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        contenders = [rounds.Contender(who, command, folder, one_thread) for who, command in commands.items()]
        try:
            times = rounds.take_turns(contenders, args.rounds, args.seconds, args.clock)
        finally:
            for contender in contenders:
                contender.close()
        equal = (folder / "sheaf").read_bytes() == (folder / "tokenizers").read_bytes()
    size = sum(len(line.encode()) for line in lines)
    return {"tokenizer": name, "text": language, "bytes": size, "rounds": len(times["sheaf"]), "clock": args.clock,
            "ids_are_equal": equal, "goal": GOALS[name.split(",")[0]],
            "mb_per_s": {who: rounds.spread([size * 1e-6 / seconds for seconds in own]) for who, own in times.items()},
            "sheaf_is_faster": rounds.ratios(times["tokenizers"], times["sheaf"]), "times": times,
            "starts": {contender.name: contender.start for contender in contenders}}


def run(args):
    sys.path.insert(0, str(TESTS / "tokenizer"))
    import byte_level
    lines_of, results = texts(byte_level), []
    print(f"\nMB/s, one of {os.cpu_count()} cores\n{'':32}{'sheaf':>9}{'tokenizers':>12}{'sheaf x':>9}{'goal':>6}  ids equal")
    for name, path in tokenizers(args, byte_level).items():
        for language, lines in lines_of.items():
            if args.only not in f"{name} {language}":
                continue
            row = compare(name, path, language, lines, args)
            results.append(row)
            rates = {who: rate["median"] for who, rate in row["mb_per_s"].items()}
            print(f"{name + ', ' + language:32}{rates['sheaf']:9.1f}{rates['tokenizers']:12.2f}"
                  f"{row['sheaf_is_faster']['median']:9.1f}{row['goal']:6}  {'yes' if row['ids_are_equal'] else 'NO'}", flush=True)
    return results
