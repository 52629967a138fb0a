"""The cache is shared with Python's huggingface_hub, in both directions. Skipped where it is not installed."""

import os
import pathlib
import subprocess
import sys

import pytest

pytest.importorskip("huggingface_hub")

PYTHON_SIDE = """
import sys
from huggingface_hub import hf_hub_download, snapshot_download, scan_cache_dir
for path in sys.argv[1:]:
    print(hf_hub_download("org/model", path))
scan = scan_cache_dir()
assert not scan.warnings, scan.warnings
print(sorted(r.repo_id for r in scan.repos))
"""


def run_python(resolve, *paths, **environment):
    env = {**resolve.environment, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", **environment}
    done = subprocess.run([sys.executable, "-c", PYTHON_SIDE, *paths], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_python_loads_what_sheaf_wrote(hub, repo, resolve):
    folder = resolve()["folder"]
    *found, repos = run_python(resolve, *repo.files, HF_HUB_OFFLINE="1")
    assert found == [os.path.join(folder, path) for path in repo.files]
    assert repos == "['org/model']"


def test_sheaf_loads_what_python_wrote(hub, repo, resolve):
    *found, _ = run_python(resolve, *repo.files)
    folder = pathlib.Path(resolve(HF_HUB_OFFLINE="1")["folder"])
    assert [str(folder / path) for path in repo.files] == found
    hub.requests.clear()
    resolve()
    # Python asked for no file that the repository lacks, so that one is asked for; nothing comes twice.
    assert hub.count("GET") == 0
