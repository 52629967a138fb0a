#!/usr/bin/env python3
"""One replica in one process, over two ranks and over two stages, on the same cores: time and memory.

All three servers run at once and are asked in turns, so that what else the machine does befalls all alike; of the times of a
kind the median and the least are shown, and what processor time each process needed, which others hardly change. Every server is started here, on ports that the system chooses, and ended by its pid.
"""

import argparse
import json
import pathlib
import re
import statistics
import subprocess
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
KINDS = {"one process": [], "2 ranks": ["--tensor-parallel-size", "2"], "2 stages": ["--pipeline-parallel-size", "2"]}
WORD = "text "  # a token of any tokenizer that is used here


class Server:
    def __init__(self, options, flags):
        self.process = subprocess.Popen(
            [options.bin / "sheaf", "serve", f"bench={options.model}", "--port", "0", "--grpc-port", "0", "--log-level", "warn",
             "--dtype", options.dtype, "--num-replicas", "1", "--max-batch-tokens", "16384", *flags],
            stdout=subprocess.PIPE, text=True)
        self.url = json.loads(self.process.stdout.readline())["http"]

    def compute_ms(self, texts):
        """What the replica took, without the way there and back."""
        request = urllib.request.Request(self.url + "/v1/embeddings", json.dumps({"input": texts}).encode(),
                                         {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=300) as answer:
            answer.read()
            return int(answer.headers["x-sheaf-compute-us"]) / 1000

    def processes(self):
        """(rank, pid), in their order."""
        found = []
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_text(errors="replace").split("\0")
                parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
            if parent == self.process.pid and "run" in words:
                found.append((int(words[words.index("--rank") + 1]) if "--rank" in words else 0, int(folder.name)))
        return sorted(found)

    def cpu_ms(self):
        """Of each process so far."""
        return [sum(int(thread.read_text().split()[0]) for thread in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e6
                for _, pid in self.processes()]

    def end(self):
        self.process.terminate()
        self.process.wait(30)


def memory(pid):
    """MiB of this process: packed weights that it maps, and its proportional set size."""
    maps = pathlib.Path(f"/proc/{pid}/maps").read_text()
    weights = sum(int(end, 16) - int(begin, 16)
                  for begin, end in re.findall(r"^(\w+)-(\w+) .*memfd:sheaf-weights", maps, re.M))
    pss = re.search(r"^Pss:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)
    return weights / 2**20, int(pss.group(1)) / 2**10


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/release/bin")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--texts", type=int, default=64, help="of a large batch")
    parser.add_argument("--tokens", type=int, default=100, help="of each of its texts")
    options = parser.parse_args()
    servers = {}
    try:
        for kind, flags in KINDS.items():
            servers[kind] = Server(options, flags)
        loads = {"one text of 50": [WORD * 48],
                 f"{options.texts} of {options.tokens}": [WORD * (options.tokens - 2)] * options.texts}
        times = {(kind, load): [] for kind in servers for load in loads}
        needed = {(kind, load): [] for kind in servers for load in loads}
        for turn in range(options.rounds + 2):
            for load, texts in loads.items():
                for kind, server in servers.items():
                    before = server.cpu_ms()
                    took = server.compute_ms(texts)
                    if turn >= 2:  # the first ones find memory cold
                        times[kind, load].append(took)
                        needed[kind, load].append([after - was for after, was in zip(server.cpu_ms(), before)])
        for (kind, load), took in times.items():
            cpu = ", ".join(f"{statistics.median(one):.1f}" for one in zip(*needed[kind, load]))
            print(f"{kind:12} {load:16} tokens: median {statistics.median(took):8.1f} ms, least {min(took):8.1f} ms, "
                  f"processor time of each process {cpu} ms")
        for kind, server in servers.items():
            for rank, pid in server.processes():
                print("{:12} process {}: weights {:6.1f} MiB, PSS {:6.1f} MiB".format(kind, rank, *memory(pid)))
    finally:
        for server in servers.values():
            server.end()


if __name__ == "__main__":
    main()
