"""`sheaf serve` on the card, and `sheaf bench` beside it."""

import contextlib
import json
import signal
import subprocess

import programs

WAIT_S = 120
# Texts a request, and requests at a time: on a card as many as keep it busy.
LOAD = {"cuda": (64, 64), "cpu": (4, 2)}


class Failed(Exception):
    """With what the program said last."""


@contextlib.contextmanager
def server(args, model, folder, *flags):
    log = folder / "serve.log"
    with open(log, "w") as errors:
        child = subprocess.Popen([programs.path_of("sheaf", args.device), "serve", model, "--device", args.device, "--dtype",
                                  programs.DTYPE[args.device], "--port", "0", "--grpc-port", "0", *flags], stdout=subprocess.PIPE,
                                 stderr=errors, text=True)
        try:
            line = child.stdout.readline()  # printed once it listens; the end of the program ends it too
            if not line:
                said = log.read_text().strip().splitlines() or ["it said nothing"]
                raise Failed(said[-1])
            yield json.loads(line)
        finally:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(WAIT_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def tokens_per_s(args, model, length, folder, replicas=1, streams=1):
    texts, requests = LOAD[args.device]
    with server(args, model, folder, "--num-replicas", str(replicas), "--streams", str(streams)) as places:
        command = [programs.path_of("sheaf", args.device), "bench", "--server", places["grpc"], "--grpc", "--batch-sizes",
                   str(texts), "--concurrency", str(requests), "--prompt-length", str(length), "--duration", "10s", "--warmup",
                   "3s", "--json"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S)
        except subprocess.TimeoutExpired:
            raise Failed(f"sheaf bench did not end within {WAIT_S} s") from None
    if done.returncode == 0:
        return json.loads(done.stdout)["steps"][0]["tokens_per_s"]
    if done.stdout:
        raise Failed(json.loads(done.stdout)["steps"][0].get("first_error", "a request failed"))
    raise Failed((done.stderr.strip().splitlines() or [f"sheaf bench ended with {done.returncode}"])[-1])
