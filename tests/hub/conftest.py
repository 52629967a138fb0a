import json
import os
import pathlib
import random
import subprocess

import pytest

from fake_hub import FakeHub, Repo

SOURCE = pathlib.Path(__file__).resolve().parents[2]
FILES = ["--required", "config.json", "--optional", "modules.json", "--optional", "1_Pooling/config.json"]
FILES += ["--optional", "absent.json", "--required", "model.safetensors"]


def find_tool():
    folders = [os.environ.get("SHEAF_BIN_DIR", ""), SOURCE / "build/release/bin", SOURCE / "build/dev/bin"]
    for folder in filter(None, folders):
        if (pathlib.Path(folder) / "hub_resolve").exists():
            return str(pathlib.Path(folder) / "hub_resolve")
    pytest.fail("hub_resolve is not built: run `make test`, or build the target hub_resolve")


@pytest.fixture
def hub():
    fake = FakeHub()
    yield fake
    fake.close()


@pytest.fixture
def repo(hub):
    weights = random.Random(1).randbytes(3_000_000)
    files = {
        "config.json": b'{"model_type": "bert"}',
        "modules.json": b'[{"idx": 0, "path": ""}]',
        "1_Pooling/config.json": b'{"pooling_mode_mean_tokens": true}',
        "model.safetensors": weights,
    }
    hub.repos["org/model"] = Repo(files=files, large={"model.safetensors"})
    return hub.repos["org/model"]


class Resolver:
    """Runs hub_resolve against the fake hub with a cache of its own."""

    def __init__(self, hub, home):
        self.home = home
        self.cache = home / "hf" / "hub"
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "HF_HOME": str(home / "hf"),
            "HF_ENDPOINT": hub.url,
            "MODELSCOPE_DOMAIN": hub.url,
            "MODELSCOPE_CACHE": str(home / "ms"),
            "HF_HUB_ETAG_TIMEOUT": "5",
            "HF_HUB_DOWNLOAD_TIMEOUT": "5",
            "NO_PROXY": "*",
        }

    def start(self, source="org/model", *arguments, files=FILES, **environment):
        return subprocess.Popen(
            [find_tool(), source, *arguments, "--retry-wait-ms", "10", *files],
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @staticmethod
    def finish(process):
        out, err = process.communicate(timeout=60)
        assert process.returncode in (0, 1), err
        return {**json.loads(out), "log": err}

    def __call__(self, *arguments, **options):
        return self.finish(self.start(*arguments, **options))

    def folder(self, name="models--org--model"):
        return self.cache / name


@pytest.fixture
def resolve(hub, tmp_path):
    return Resolver(hub, tmp_path)
