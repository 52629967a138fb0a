"""SHEAF_PROFILE=1: what time each operation took, on standard error when a process that computes ends."""

import json
import re

from sheaf_server import MODEL_FOLDER, Server, wait_until
from test_commands import sheaf

PROFILE = {"SHEAF_PROFILE": "1"}


def tables(log):
    """Of each process its operations: name -> the number of calls."""
    found = []
    for line in log.splitlines():
        if line.startswith("operations of process "):
            found.append({})
        elif match := re.fullmatch(r"(\w+ \d.*?) +(\d+) +[\d.]+ +[\d.]+ +[\d.]+%.*", line):
            found[-1][match[1]] = int(match[2])
    return found


def embed(**environment):
    return sheaf("embed", "--model", MODEL_FOLDER, "--dtype", "float32", stdin="one text\nand another\n",
                 environment=environment)


def test_embed_shows_it_beside_the_same_vectors():
    plain, timed = embed(), embed(**PROFILE)
    assert plain.returncode == timed.returncode == 0
    assert timed.stdout == plain.stdout and plain.stderr == ""
    assert max(map(len, timed.stderr.splitlines())) <= 80
    [operations] = tables(timed.stderr)
    assert operations["feed_forward 384->1536 gelu"] == 6 and operations["embed 384"] == 1
    assert operations["attention 12 x 32"] == 6
    assert operations["normalize 384"] == 6, "those behind attention"
    assert "GFLOP/s" in timed.stderr and "GB/s" in timed.stderr


def test_each_replica_of_a_server_shows_its_own():
    with Server(replicas=2, environment=PROFILE) as server:
        server.wait_full(2, 30)
        for _ in range(100):
            assert len(server.vectors(["a text"] * 3)) == 3
            if all(replica["batches"] > 0 for replica in server.fleet()["replicas"]):
                break
        server.terminate()
        assert server.wait_exit() == 0
        wait_until(lambda: len(tables("".join(server.log))) == 2, 10, "a table of each replica")
        assert all(table["linear 384->1152"] >= 6 for table in tables("".join(server.log)))
        assert not any("SHEAF_PROFILE" in line for line in server.log), "a variable that is known"
