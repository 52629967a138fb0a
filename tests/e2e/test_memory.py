"""Weights exist once, whatever the number of replicas; one more starts quickly."""

import os
import pathlib
import re
import signal
import time

from sheaf_server import MODEL_FOLDER, Server, wait_until

MIB = 1 << 20


def proportional_set_bytes(pid):
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss:\s+(\d+) kB", text, re.M).group(1)) << 10


def test_eight_replicas_share_one_copy_of_the_weights():
    weights = (pathlib.Path(MODEL_FOLDER) / "model.safetensors").stat().st_size
    with Server(replicas=8) as server:
        server.wait_full(8, 30)
        for _ in range(400):
            server.embed("one short text")
            if all(r["batches"] > 0 for r in server.fleet()["replicas"]):
                break
        pids = server.wait_full(8)
        total = sum(proportional_set_bytes(pid) for pid in pids)
        bound = 1.1 * weights + 8 * 25 * MIB
        print(f"\nPSS of 8 replicas {total / MIB:.0f} MiB, weights {weights / MIB:.0f} MiB, "
              f"bound {bound / MIB:.0f} MiB")
        assert total <= bound


def test_a_replica_is_back_in_half_a_second():
    """What one more replica costs: the weights are packed already."""
    with Server(replicas=2) as server:
        times = []
        for _ in range(5):
            victim = server.wait_full(2)[0]
            begin = time.monotonic()
            os.kill(victim, signal.SIGKILL)
            wait_until(lambda: len(set(server.replica_pids()) - {victim}) == 2, 10, "back")
            times.append(time.monotonic() - begin)
        print(f"\none more replica after {[f'{t:.2f} s' for t in times]}")
        assert min(times) < 0.5
