"""A machine with simulated cards for the tests: `sheaf slices` and others' tools see it as they would a real one."""

import json
import os
import subprocess
import sys

import pytest

from sheaf_server import SHEAF

BIN = SHEAF.parent
LIBRARY = BIN / "libsheaf-nvml-sim.so"


class Machine:
    """A simulated machine in a folder of its own. Tools find it as libnvidia-ml.so.1, sheaf by SHEAF_NVML."""

    def __init__(self, folder, *cards):
        if not LIBRARY.exists():
            pytest.skip(f"{LIBRARY} is not built")
        self.folder = folder
        (folder / "libnvidia-ml.so.1").symlink_to(LIBRARY)
        self.environment = dict(os.environ, SHEAF_NVML=str(LIBRARY), LD_LIBRARY_PATH=str(folder),
                                SHEAF_NVML_SIM_STATE=str(folder / "cards"), SHEAF_SLICES_FOLDER=str(folder / "run"))
        self.environment.pop("CUDA_VISIBLE_DEVICES", None)
        self.drive("create", *cards)

    def drive(self, *words):
        command = [BIN / "nvml_sim", self.folder / "cards", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def sheaf(self, *words, code=0, **more):
        done = subprocess.run([SHEAF, "slices", *words], env={**self.environment, **more}, capture_output=True, text=True,
                              timeout=60)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def facts(self):
        return json.loads(self.sheaf("--json"))

    def python(self, script):
        done = subprocess.run([sys.executable, "-c", script], env=self.environment, capture_output=True, text=True,
                              timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])
