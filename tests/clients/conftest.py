"""Frameworks whose clients need older versions of what tests/requirements.txt pins live in an environment of their own,
made from the requirements.txt beside this file; elsewhere these tests are skipped."""

import os
import pathlib
import sys

import pytest

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it asks the network for prices when imported
sys.path.append(str(pathlib.Path(__file__).parents[1] / "e2e"))

from sheaf_server import MODEL_FOLDER, REPOSITORY, SHEAF, Server  # noqa: E402


@pytest.fixture(scope="session")
def server():
    """An embedder and a reranker behind one endpoint."""
    if not SHEAF.exists() or not MODEL_FOLDER:
        pytest.skip("sheaf is not built, or SHEAF_TEST_MODEL is not set")
    with Server(f"reranker={REPOSITORY / 'tests/golden/rerankers/bert'}", "--log-level", "warn",
                replicas=1) as shared:
        yield shared
