"""Programs that take turns: each runs the same work once a round while all the others are stopped."""

import ctypes
import json
import os
import pathlib
import signal
import statistics
import subprocess
import time

FEWEST_ROUNDS = 3  # whatever the time limit says


class LeftOut(Exception):
    """A contender that could not run, with what it said last."""


def end_with_parent():
    """A stopped child would not see that nobody is there any more. 1: PR_SET_PDEATHSIG (prctl(2))."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Contender:
    """A child that prints a line of JSON once it is ready, and another each time it is given a line."""

    def __init__(self, name, command, folder, environment=None):
        self.name = name
        self.errors = open(folder / "errors", "w+")
        self.child = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=self.errors, text=True, env=os.environ | (environment or {}),
                                      preexec_fn=end_with_parent)
        self.start = self.answer()

    def answer(self):
        line = self.child.stdout.readline()
        if not line:
            self.child.wait()
            self.errors.seek(0)
            said = self.errors.read().strip().splitlines() or [f"ended with {self.child.returncode}"]
            raise LeftOut(said[-1][:300])
        # Threads that wait for work by spinning would take cores from whoever is next.
        self.child.send_signal(signal.SIGSTOP)
        return json.loads(line)

    def run(self):
        self.child.send_signal(signal.SIGCONT)
        self.child.stdin.write("\n")
        self.child.stdin.flush()
        return self.answer()

    def close(self):
        self.child.send_signal(signal.SIGCONT)
        self.child.stdin.close()
        self.child.wait()
        self.errors.close()


def take_turns(contenders, rounds, seconds, clock):
    """Name -> time of each round. The order turns round by round, so that nobody always follows the same one."""
    times = {contender.name: [] for contender in contenders}
    until = time.monotonic() + seconds
    for done in range(rounds):
        if done >= FEWEST_ROUNDS and time.monotonic() > until:
            break
        at = done % len(contenders)
        for contender in contenders[at:] + contenders[:at]:
            times[contender.name].append(contender.run()[clock])
    return times


def spread(values):
    """Median and quartiles; of a single value, as when things are only tried, that value."""
    values = values * 2 if len(values) == 1 else values
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": middle, "low": low, "high": high}


def ratios(others, own):
    """Paired by round; above 1 where `own` is faster."""
    return spread([a / b for a, b in zip(others, own)])


def machine():
    info = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    values = [tuple(map(str.strip, line.split(":", 1))) for line in info if ":" in line]
    flags = next((value.split() for key, value in values if key == "flags"), [])
    return {"processor": next((value for key, value in values if key == "model name"), "unknown"),
            "cores": len(os.sched_getaffinity(0)), "kernel": os.uname().release,
            "instruction_sets": [flag for flag in flags if flag.startswith(("avx", "fma", "amx", "f16c"))],
            "load_before": round(os.getloadavg()[0], 2)}
