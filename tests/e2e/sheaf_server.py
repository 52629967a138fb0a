"""A `sheaf serve` process for the tests: ports chosen by the system, always stopped by its pid."""

import json
import os
import pathlib
import queue
import re
import signal
import subprocess
import threading
import time

import requests

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("SHEAF_BIN_DIR", REPOSITORY / "build/release/bin"))
SHEAF = pathlib.Path(os.environ.get("SHEAF_BIN", BIN / "sheaf"))
FAULTY_REPLICA = BIN / "sheaf-replica-faulty"
EMULATED_REPLICA = BIN / "sheaf-replica-emulated"
MODEL_FOLDER = os.environ.get("SHEAF_TEST_MODEL", "")
MODEL = "all-MiniLM-L6-v2"
# Of nobody: whose test means it to be kept says another one.
CACHE = pathlib.Path("/dev/null/sheaf")


def dtypes():
    """What this processor computes in -> the backend."""
    if not (BIN / "sheaf-replica").exists():
        return {}
    said = subprocess.run([BIN / "sheaf-replica", "dtypes"], check=True, capture_output=True, text=True, timeout=30)
    return json.loads(said.stdout)


DTYPES = dtypes()


def wait_until(condition, timeout_s=20.0, what="the condition"):
    """Polls until condition() gives something true, and gives that back."""
    end = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"{what} did not come true within {timeout_s} s"
        time.sleep(0.005)


def running(pid):
    """True while the process exists and is no zombie."""
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def unwrapped(said):
    """What was broken at the terminal's width, with each sentence on a line again."""
    return re.sub(r"\n +", " ", said)


def environment_without_sheaf():
    """SHEAF_... variables of whoever runs the tests are not meant for what they run, nor is what was measured before."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SHEAF_")}
    return clean | {"SHEAF_CACHE": str(CACHE)}


class Server:
    def __init__(self, *flags, replicas=2, model=None, environment=None, ready=True):
        self.started = time.monotonic()
        command = [SHEAF, "serve", model or f"{MODEL}={MODEL_FOLDER}", "--port", "0",
                   "--grpc-port", "0", "--num-replicas", str(replicas), *flags]
        if "--dtype" not in flags:  # which any processor has, and references are compared with
            command += ["--dtype", "float32"]
        clean = environment_without_sheaf()
        self.process = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, errors="replace",
                                        env=clean | (environment or {}))
        self.log = []
        self.log_reader = threading.Thread(target=self._read_log, daemon=True)
        self.log_reader.start()
        lines = queue.Queue()
        threading.Thread(target=lambda: lines.put(self.process.stdout.readline()),
                         daemon=True).start()
        try:
            self.first_line = lines.get(timeout=30)
            assert self.first_line, "no first line: " + self.error_text()
            addresses = json.loads(self.first_line)
            self.http, self.grpc = addresses["http"], addresses["grpc"]
            self.announced_pid = addresses["pid"]
            self.session = requests.Session()
            if ready:
                self.wait_ready()
        except BaseException:
            self.kill()
            raise

    def _read_log(self):
        for line in self.process.stderr:
            self.log.append(line)

    def error_text(self):
        self.log_reader.join(timeout=1)
        return "".join(self.log[-20:])

    @property
    def pid(self):
        return self.process.pid

    @property
    def port(self):
        return int(self.http.rsplit(":", 1)[1])

    def wait_ready(self, timeout_s=30):
        wait_until(lambda: self._answers("/health/ready"), timeout_s, "ready: " + self.error_text())

    def _answers(self, path):
        assert self.process.poll() is None, "the server ended: " + self.error_text()
        return self.session.get(self.http + path, timeout=10).status_code == 200

    def fleet(self):
        return self.session.get(self.http + "/v1/fleet", timeout=10).json()

    def replica_pids(self):
        return [r["pid"] for r in self.fleet()["replicas"] if r["state"] == "ready"]

    def wait_full(self, size, timeout_s=10):
        """Waits until `size` replicas are ready; gives their pids."""
        def full():
            pids = self.replica_pids()
            return pids if len(pids) == size else None
        return wait_until(full, timeout_s, f"{size} ready replicas")

    def embed(self, texts, timeout=30, **fields):
        answer = requests.post(self.http + "/v1/embeddings", json={"input": texts, **fields},
                               timeout=timeout)
        return answer

    def vectors(self, texts):
        return [row["embedding"] for row in self.embed(texts).json()["data"]]

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def wait_exit(self, timeout_s=20):
        return self.process.wait(timeout=timeout_s)

    def kill(self):
        """Ends the server whatever its state; its replicas follow by themselves."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.terminate()
            try:
                self.wait_exit()
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError("SIGTERM did not end an idle server: " + self.error_text())

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.kill() if error[0] else self.stop()


class Load:
    """Threads that send requests over kept-alive connections until stopped. Every answer that is
    not a 200 with the right number of vectors is a failure, and so is a connection that breaks."""

    def __init__(self, server, clients=8, texts=4, text="a text of the load"):
        self.server, self.texts, self.text = server, texts, text
        self.answered = 0
        self.failures = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(i,)) for i in range(clients)]

    def _run(self, client):
        session = requests.Session()
        turn = 0
        while not self._stop.is_set():
            turn += 1
            inputs = [f"{self.text} {client} {turn} {i}" for i in range(self.texts)]
            try:
                answer = session.post(self.server.http + "/v1/embeddings", timeout=60,
                                      json={"input": inputs, "encoding_format": "base64"})
                right = answer.status_code == 200 and len(answer.json()["data"]) == self.texts
                problem = None if right else f"{answer.status_code} {answer.text[:300]}"
            except requests.RequestException as error:
                problem = repr(error)
            with self._lock:
                self.answered += 1
                if problem:
                    self.failures.append(problem)

    def wait_answered(self, count, timeout_s=60):
        goal = self.answered + count
        wait_until(lambda: self.answered >= goal, timeout_s, f"{count} more answers")

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        self.wait_answered(len(self._threads))
        return self

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def __exit__(self, *error):
        self.stop()
