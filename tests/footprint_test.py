"""What `sheaf-replica estimate` says of a model before it is loaded, against what a replica then holds."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
import requests

sys.path.append(str(pathlib.Path(__file__).parent / "e2e"))

from sheaf_server import BIN, DTYPES, MODEL_FOLDER, REPOSITORY, SHEAF, Server  # noqa: E402

FAMILIES = REPOSITORY / "tests/golden/families"
MAX_BATCH_TOKENS = 2048
TOKENIZER = {"version": "1.0", "added_tokens": [], "normalizer": None, "pre_tokenizer": {"type": "Whitespace"},
             "post_processor": None, "decoder": None,
             "model": {"type": "WordPiece", "vocab": {"a": 0, "b": 1}, "unk_token": "a",
                       "continuing_subword_prefix": "##", "max_input_chars_per_word": 100}}


pytestmark = pytest.mark.skipif(not SHEAF.exists() or not MODEL_FOLDER,
                                reason="sheaf is not built, or SHEAF_TEST_MODEL is not set")


def estimate(folder, dtype, ranks):
    command = [BIN / "sheaf-replica", "estimate", "--model", folder, "--max-batch-tokens", str(MAX_BATCH_TOKENS),
               "--dtype", dtype, "--rank", "0", "--ranks", str(ranks),
               "--threads", str(len(os.sched_getaffinity(0)) // ranks)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def memfd(pid, name):
    """The state of a file without a path that this process has open."""
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        if os.readlink(fd).startswith(f"/memfd:{name}"):
            return os.stat(fd)
    raise AssertionError(f"no memfd {name}")


def anonymous_bytes(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    # What a busy machine has swapped out is held too; both are without what is shared.
    return sum(int(re.search(rf"^{kind}:\s+(\d+) kB", text, re.M).group(1)) << 10 for kind in ("RssAnon", "VmSwap"))


def fill(server, tokens_a_text):
    """Batches of the largest size."""
    texts = [[1] * tokens_a_text] * (MAX_BATCH_TOKENS // tokens_a_text)
    for _ in range(3):
        answer = requests.post(server.http + "/embed", json={"inputs": texts}, timeout=60)
        assert answer.status_code == 200, answer.text


@pytest.fixture(params=["all-MiniLM-L6-v2"] + sorted(p.name for p in FAMILIES.iterdir() if p.is_dir()))
def folder(request, tmp_path):
    if request.param == "all-MiniLM-L6-v2":
        return pathlib.Path(MODEL_FOLDER)
    shutil.copytree(FAMILIES / request.param / "model", tmp_path / request.param)
    (tmp_path / request.param / "tokenizer.json").write_text(json.dumps(TOKENIZER))
    return tmp_path / request.param


def test_the_estimate_is_what_is_then_held(folder):
    check(folder, "float32")


@pytest.mark.parametrize("dtype", [name for name in DTYPES if name != "float32"])
def test_the_estimate_of_a_dtype(dtype):
    check(pathlib.Path(MODEL_FOLDER), dtype)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="each process takes a core")
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_estimate_of_a_rank(dtype):
    check(pathlib.Path(MODEL_FOLDER), dtype, ranks=2)


def check(folder, dtype, ranks=1):
    said = estimate(folder, dtype, ranks)
    with Server("--max-batch-tokens", str(MAX_BATCH_TOKENS), "--log-level", "warn", "--dtype", dtype,
                "--tensor-parallel-size", str(ranks), model=folder, replicas=1) as server:
        limit = requests.get(server.http + "/info", timeout=10).json()["max_input_length"]
        fill(server, limit)
        [pid] = server.wait_full(1)
        weights = memfd(pid, "sheaf-weights").st_blocks * 512
        # The rings of a channel are filled one after the other by so many requests as no test sends.
        held = [anonymous_bytes(pid), memfd(pid, "sheaf-channel").st_size]
        if ranks > 1:
            held.append(memfd(pid, "sheaf-ranks").st_blocks * 512 // ranks)
    total = weights + sum(held)
    expected = said["weights_bytes"] + said["replica_bytes"]
    print(f"\n{folder.name}: weights {said['weights_bytes']} {weights}, replica {said['replica_bytes']} {held}, "
          f"{expected / total - 1:+.1%}")
    assert abs(expected / total - 1) <= 0.05
