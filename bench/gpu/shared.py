"""Replicas of one card: what each more takes of it, and that their weights outlive who brought them."""

import base64
import concurrent.futures
import json
import os
import re
import signal
import subprocess
import time
import urllib.request

import numpy as np

import served

WAIT_S = 120
REQUESTS_MAX = 200
BROUGHT = re.compile(r"replica (\d+) brought the weights")
TEXTS = ["a text", "another one, which is longer than that"]


def ask(places, path, body=None):
    request = urllib.request.Request(places["http"] + path, body and json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
        return json.load(answer), answer.headers


def ready_pids(places, count, without=None):
    """{replica: pid}, once so many are ready and `without` is none of them."""
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        replicas = ask(places, "/v1/fleet")[0]["replicas"]
        pids = {one["name"]: one["pid"] for one in replicas if one["state"] == "ready"}
        if len(pids) == count and without not in pids.values():
            return pids
        time.sleep(0.02)
    raise served.Failed(f"{count} replicas were not ready within {WAIT_S} s")


def answers(places, names):
    """All that the replicas answer the same texts, each asked once at least: several at a time, as one would answer all in turn."""
    found = {}

    def embed(_):
        said, headers = ask(places, "/v1/embeddings", {"input": TEXTS, "encoding_format": "base64"})
        return headers["x-sheaf-replica"], tuple(row["embedding"] for row in said["data"])

    with concurrent.futures.ThreadPoolExecutor(4 * len(names)) as clients:
        for _ in range(REQUESTS_MAX // (4 * len(names))):
            for replica, vectors in clients.map(embed, range(4 * len(names))):
                found.setdefault(replica, set()).add(vectors)
            if set(names) <= set(found):
                return set.union(*found.values())
    raise served.Failed(f"of {sorted(names)} only {sorted(found)} answered {REQUESTS_MAX} requests")


def least_cosine(answered):
    """Of what was answered to each text. Replicas may multiply by algorithms of their own, each the fastest when it looked."""
    first, *others = ([np.frombuffer(base64.b64decode(one), "<f4") for one in vectors] for vectors in answered)
    return min((float(a @ b) for vectors in others for a, b in zip(first, vectors)), default=1.0)


def card_mib():
    """Of the first card, by all processes; 0 without one."""
    try:
        said = subprocess.run(["nvidia-smi", "--id=0", "--query-gpu=memory.used", "--format=csv,noheader,nounits"],
                              capture_output=True, text=True, timeout=60, check=True)
        return int(said.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return 0


def figures(args, model, replicas, streams, folder):
    before = card_mib()
    started = time.monotonic()
    with served.server(args, model, folder, "--num-replicas", str(replicas), "--streams", str(streams)) as places:
        pids = ready_pids(places, replicas)
        ready_s = time.monotonic() - started
        vectors = answers(places, pids)
        found = {"ready s": ready_s, "MiB": card_mib() - before}
        makers = BROUGHT.findall((folder / "serve.log").read_text())
        first = pids[makers[0] if makers else "0"]
        os.kill(first, signal.SIGKILL)
        vectors |= answers(places, ready_pids(places, replicas, without=first))
        copies = len(BROUGHT.findall((folder / "serve.log").read_text()))
        return found | {"MiB after": card_mib() - before, "copies": copies, "least cosine": least_cosine(vectors)}
