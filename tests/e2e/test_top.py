"""`sheaf top` and the sampling behind it: on cores with a server, on simulated cards, on a terminal; what a server says of
its cards, and what it answers their Xids with."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest
import requests

from sheaf_server import SHEAF, Load, Server, environment_without_sheaf, wait_until
from test_slices import Machine

NOBODY = "127.0.0.1:1"
NO_NVML = {"SHEAF_NVML": "/no/such/libnvidia-ml.so.1"}


def top(*words, code=0, environment=None):
    done = subprocess.run([SHEAF, "top", *words], env={**environment_without_sheaf(), **(environment or NO_NVML)},
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def facts(*words, environment=None):
    return json.loads(top("--once", "--json", *words, environment=environment))


@pytest.fixture
def machine(tmp_path):
    return lambda *cards: Machine(tmp_path, *cards)


def address_of(server):
    return f"127.0.0.1:{server.port}"


# --- cores and a server ---


def test_cores_replicas_and_rates(server):
    with Load(server, clients=4):
        seen = facts("--server", address_of(server))
        text = top("--once", "--server", address_of(server))
    replicas = {r["name"]: r for s in seen["slices"] for r in s["replicas"]}
    fleet = server.fleet()["replicas"]
    assert {name: r["pid"] for name, r in replicas.items()} == {r["name"]: r["pid"] for r in fleet}
    slices = {s["slice"]: s for s in seen["slices"]}
    assert set(slices) >= {r["slice"] for r in fleet}
    assert all(s["load_source"] == "kernel" and 0 <= s["load"] <= 1 for s in slices.values())
    assert sum(r["tokens_per_s"] for r in replicas.values()) > 0
    assert 0 < max(r["busy"] for r in replicas.values()) <= 1
    assert all(r["memory_bytes"] > 1 << 20 for r in replicas.values())
    model = seen["server"]["models"][0]
    assert (model["replicas"], model["replicas_ready"]) == (2, 2) and model["tokens_per_s"] > 0
    assert seen["server"]["ready"] and seen["server"]["address"] == address_of(server)
    assert seen["machine"]["cores"] >= 1 and 0 < seen["machine"]["load"] <= 1
    assert "2 of 2 replicas ready" in text and "SLICE" in text and "no GPU" in text
    for replica in fleet:
        assert re.search(rf"^{re.escape(replica['slice'])} +\d+ % cpu .*#{replica['name']}\n", text, re.M), text
    assert all(len(line) <= 80 for line in text.splitlines())


def test_without_a_server_there_is_the_machine():
    seen = facts("--interval", "200ms", environment={**NO_NVML, "SHEAF_SERVER": ""})
    assert [s["slice"].split(":")[0] for s in seen["slices"]] == ["cores"]
    assert seen["slices"][0]["load_source"] == "kernel"
    assert seen["machine"]["memory_used_bytes"] < seen["machine"]["memory_bytes"]
    assert "it comes with NVIDIA's driver" in seen["machine"]["no_gpus_because"]


def test_a_named_server_has_to_answer():
    assert f"cannot connect to {NOBODY}" in top("--once", "--server", NOBODY, code=1)
    assert "cannot connect" in top("--once", code=1, environment={**NO_NVML, "SHEAF_SERVER": NOBODY})


def test_bad_usage():
    assert "--interval is 50ms; at least 200ms" in top("--interval", "50ms", code=2)
    assert "did you mean --once" in top("--onse", code=2)
    help_page = top("--help")
    assert all(len(line) <= 80 for line in help_page.splitlines()) and len(help_page.splitlines()) <= 40


def test_a_server_with_keys_wants_one():
    with Server("--api-key", "secret", replicas=1) as guarded:
        assert "401" in top("--once", "--server", address_of(guarded), code=1)
        seen = facts("--server", address_of(guarded), "--api-key", "secret", "--interval", "200ms")
        assert seen["server"]["answers"]


# --- simulated cards ---


def test_cards_and_what_runs_there(machine):
    here = machine("h100-80", "l4")
    here.drive("load", "0", "90", "40", "25")
    here.drive("set", "0", "temperature_c", "71")
    here.drive("process", "0", str(os.getpid()), str(3 << 30))
    environment = {k: v for k, v in here.environment.items() if k in ("SHEAF_NVML", "SHEAF_NVML_SIM_STATE")}
    seen = facts("--interval", "300ms", environment=environment)
    card, other = seen["slices"][:2]
    assert (card["slice"], card["load"], card["load_source"]) == ("gpu:0", 0.9, "gpm")
    assert (card["multiprocessor_load"], card["memory_load"], card["temperature_c"]) == (0.4, 0.25, 71)
    assert card["memory_used_bytes"] == 3 << 30 and card["processes"][0]["pid"] == os.getpid()
    assert (other["slice"], other["load_source"], other["processes"]) == ("gpu:1", "nvml", [])
    assert card["error"] == "" and card["age_s"] < 2 and card["silent_s"] == 0
    text = top("--once", environment=environment)
    assert re.search(rf"^gpu:0 +90 % gpm +3\.0/79\.6 GiB +71 +62 .*{os.getpid()}, 3\.0 GiB", text, re.M), text
    assert re.search(r"^gpu:1 .*NVIDIA L4$", text, re.M), text
    assert "!" not in text and all(len(line) <= 80 for line in text.splitlines())


def test_slices_of_a_card_and_their_names(machine):
    here = machine("a100-40")
    here.sheaf("mig", "enable")
    here.sheaf("mig", "create", "1g.5gb", "1c.3g.20gb")
    seen = facts("--interval", "300ms", environment=here.environment)
    instances = {c["uuid"]: (i, c) for i in here.facts()["gpus"][0]["mig"]["instances"] for c in i["compute_instances"]}
    slices = [s for s in seen["slices"] if s["slice"].startswith("mig:")]
    assert len(slices) == 2
    for one in slices:
        instance, compute = instances[one["uuid"]]
        whole = compute["profile"] == instance["profile"]
        assert one["slice"] == f"mig:0/{instance['id']}" + ("" if whole else f"/{compute['id']}")
        assert (one["load"], one["load_source"]) == (None, "none")  # nobody tells it of Ampere's instances
        assert one["memory_bytes"] == instance["memory_bytes"]
    assert "cut into MIG devices" in top("--once", environment=here.environment)


def test_a_hanging_card_holds_up_nothing(machine):
    here = machine("l4", "l4")
    here.drive("hang", "nvmlDeviceGetTemperature", "8000", "1")
    began = time.monotonic()
    text = top("--once", "--interval", "200ms", environment=here.environment)
    assert time.monotonic() - began < 7
    assert re.search(r"! gpu:1 has not answered for \d s", text), text
    assert re.search(r"^gpu:0 +0 % nvml", text, re.M) and re.search(r"^gpu:1$", text, re.M), text


def test_a_lost_card_says_so(machine):
    here = machine("l4", "l4")
    here.drive("set", "0", "lost", "1")
    text = top("--once", "--interval", "200ms", environment=here.environment)
    assert re.search(r"! gpu:0: nvml\w+: GPU is lost", text), text
    assert re.search(r"^gpu:1 .*NVIDIA L4$", text, re.M), text


def test_json_comes_line_by_line(machine):
    here = machine("l4")
    process = subprocess.Popen([SHEAF, "top", "--json", "--interval", "200ms"], env=here.environment, text=True,
                               stdout=subprocess.PIPE)
    try:
        loads = [json.loads(process.stdout.readline())["slices"][0]["load"]]
        here.drive("load", "0", "50")
        while loads[-1] != 0.5 and len(loads) < 30:
            loads.append(json.loads(process.stdout.readline())["slices"][0]["load"])
        assert loads[0] == 0 and loads[-1] == 0.5
    finally:
        process.terminate()
        process.communicate()


# --- on a terminal ---


class Terminal:
    """`sheaf top` on a pseudo-terminal of 80 columns."""

    def __init__(self, *words, environment, rows=24):
        self.main, side = pty.openpty()
        self.resize(80, rows)
        self.before = termios.tcgetattr(self.main)
        self.output = b""
        self.process = subprocess.Popen([SHEAF, "top", *words], env={**environment_without_sheaf(), **environment},
                                        stdin=side, stdout=side, stderr=side, start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(side)

    def resize(self, columns, rows):
        fcntl.ioctl(self.main, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, timeout_s):
        ready, _, _ = select.select([self.main], [], [], timeout_s)
        try:
            chunk = os.read(self.main, 1 << 16) if ready else b""
        except OSError:  # its last process is gone
            chunk = b""
        self.output += chunk
        return chunk

    def frames(self):
        """What was drawn, frame by frame, as lines of text."""
        text = self.output.decode(errors="replace")
        whole = [f for f in text.split("\033[H")[1:] if f.rstrip().endswith("\033[J")]
        return [re.sub(r"\033\[[?0-9]*[A-Za-z]", "", f).split("\r\n") for f in whole]

    def wait_for(self, condition):
        def holds():
            self.read(0.05)
            return condition()
        wait_until(holds, 20, "the picture")

    def end(self):
        code = None
        end = time.monotonic() + 20
        while code is None and time.monotonic() < end:
            self.read(0.05)
            code = self.process.poll()
        while self.read(0.1):
            pass
        after = termios.tcgetattr(self.main)
        return code, after

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.main)


ENDINGS = {"q": lambda t: os.write(t.main, b"q"), "Ctrl-C": lambda t: os.write(t.main, b"\3"),
           "SIGTERM": lambda t: t.process.send_signal(signal.SIGTERM),
           "SIGHUP": lambda t: t.process.send_signal(signal.SIGHUP)}


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_terminal_is_as_it_was(ending):
    with Terminal("--interval", "200ms", environment=NO_NVML) as terminal:
        terminal.wait_for(lambda: len(terminal.frames()) > 2)
        assert termios.tcgetattr(terminal.main)[3] & termios.ECHO == 0
        ENDINGS[ending](terminal)
        code, after = terminal.end()
        assert code == 0
        assert after == terminal.before
        assert terminal.output.rstrip().endswith(b"\033[?25h\033[?1049l")
        assert terminal.output.count(b"\033[?1049h") == terminal.output.count(b"\033[?1049l") == 1


def test_it_fits_the_window_and_follows_its_size(machine):
    here = machine(*["h100-80"] * 12)
    with Terminal("--interval", "200ms", environment=here.environment, rows=10) as terminal:
        terminal.wait_for(lambda: any("more lines" in "".join(f) and "gpu:0" in "".join(f) for f in terminal.frames()))
        assert all(len(f) <= 10 and all(len(line) <= 80 for line in f) for f in terminal.frames())
        terminal.resize(120, 40)
        terminal.process.send_signal(signal.SIGWINCH)
        terminal.wait_for(lambda: "gpu:11" in "".join(terminal.frames()[-1]) and "MHZ" in "".join(terminal.frames()[-1]))
        os.write(terminal.main, b"q")
        assert terminal.end()[0] == 0


def test_it_shows_a_server_come_and_go():
    with Server(replicas=1) as server:
        with Terminal("--server", address_of(server), "--interval", "200ms", environment=NO_NVML) as terminal:
            terminal.wait_for(lambda: terminal.frames() and "1 of 1 replicas ready" in "".join(terminal.frames()[-1]))
            server.kill()
            terminal.wait_for(lambda: "no server: " in "".join(terminal.frames()[-1]))
            os.write(terminal.main, b"q")
            assert terminal.end()[0] == 0


# --- what a server says of its cards ---


@pytest.fixture
def server_with_cards(machine):
    here = machine("h100-80", "l4")
    environment = {k: here.environment[k] for k in ("SHEAF_NVML", "SHEAF_NVML_SIM_STATE")}
    with Server(replicas=1, environment=environment) as server:
        server.cards = here
        yield server


def metrics_of(server):
    return requests.get(server.http + "/metrics", timeout=10).text


def test_metrics_of_cards(server_with_cards):
    server, here = server_with_cards, server_with_cards.cards
    here.drive("load", "0", "90", "40", "25")
    here.drive("set", "1", "power_mw", "71500")
    uuids = [g["uuid"] for g in here.facts()["gpus"]]
    labels = [f'index="{i}",uuid="{uuid}",slice="gpu:{i}"' for i, uuid in enumerate(uuids)]
    wanted = [f'sheaf_gpu_load_ratio{{{labels[0]},source="gpm"}} 0.9',
              f"sheaf_gpu_multiprocessor_load_ratio{{{labels[0]}}} 0.4",
              f'sheaf_gpu_load_ratio{{{labels[1]},source="nvml"}} 0',
              f"sheaf_gpu_power_watts{{{labels[1]}}} 71.5",
              f"sheaf_gpu_temperature_celsius{{{labels[1]}}} 34"]
    wait_until(lambda: set(wanted) <= set(metrics_of(server).splitlines()), 20, "values of both cards: " + str(wanted))
    slices = server.fleet()["slices"]
    assert [s["slice"] for s in slices] == ["gpu:0", "gpu:1"] and slices[0]["load"] == 0.9
    assert "SHEAF_NVML" not in "".join(server.log)  # a known variable


def test_xids_are_said_once_counted_and_answered(server_with_cards):
    server, here = server_with_cards, server_with_cards.cards
    wait_until(lambda: [s["age_s"] is not None for s in server.fleet()["slices"]] == [True, True], what="cards")
    # They are watched once the first reading is over.
    wait_until(lambda: here.drive("xid", "0", "43") is not None and 'xid="43"' in metrics_of(server), what="an Xid")
    here.drive("xid", "1", "31", "20")
    here.drive("xid", "1", "79", "5")
    here.drive("xid", "1", "31", "5")  # a card in quarantine: nothing to restart
    def counts():
        lines = metrics_of(server).splitlines()
        return {(m[1], m[2]): int(m[3]) for m in (re.match(r'sheaf_gpu_xids_total\{index="(\d)".*xid="(\d+)"\} (\d+)', line)
                                                  for line in lines) if m}
    wait_until(lambda: counts().get(("1", "31")) == 25 and counts().get(("1", "79")) == 5, what="all counted")
    reactions = {m[1]: int(m[2]) for m in re.finditer(
        r'sheaf_gpu_xid_reactions_total\{index="1".*reaction="(\w+)"\} (\d+)', metrics_of(server))}
    assert reactions == {"restart_replica": 1, "quarantine_card": 1}
    log = "".join(server.log)
    assert log.count("Xid 31 (memory page fault) on GPU 1: what ran there is to be restarted") == 1
    assert log.count("Xid 79 (GPU fell off the bus) on GPU 1: no reset helps the card: it is not to be used any more") == 1
    assert server.embed(["still here"]).status_code == 200


def test_a_hanging_card_holds_up_no_server(server_with_cards):
    server, here = server_with_cards, server_with_cards.cards
    here.drive("hang", "nvmlDeviceGetTemperature", "30000", "1")
    def silence():
        found = re.search(r'sheaf_gpu_silent_seconds\{index="1".*\} ([\d.]+)', metrics_of(server))
        return float(found[1]) if found else 0
    wait_until(lambda: silence() > 1, 20, "the card's silence")
    assert 'sheaf_gpu_silent_seconds{index="0"' in metrics_of(server)
    assert server.embed(["still here"]).status_code == 200
    began = time.monotonic()
    server.terminate()
    assert server.wait_exit() == 0
    assert time.monotonic() - began < 5


def test_machines_without_cards_show_none():
    with Server(replicas=1, environment=NO_NVML) as server:
        assert "sheaf_gpu_" not in metrics_of(server)
        assert server.fleet()["slices"] == []
