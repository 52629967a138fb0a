"""Fixtures of the tests from outside: SHEAF_BIN_DIR (default build/release/bin) holds the programs,
SHEAF_TEST_MODEL names the folder of all-MiniLM-L6-v2."""

import importlib
import sys

import pytest
from grpc_tools import protoc

from sheaf_server import EMULATED_REPLICA, FAULTY_REPLICA, MODEL_FOLDER, REPOSITORY, SHEAF, Server


def pytest_collection_modifyitems(items):
    here = REPOSITORY / "tests/e2e"
    missing = None
    if not SHEAF.exists():
        missing = f"{SHEAF} is not built"
    elif not MODEL_FOLDER:
        missing = "SHEAF_TEST_MODEL is not set"
    for item in items:
        if missing and here in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=missing))


@pytest.fixture(scope="session")
def server():
    """Two replicas with default settings, shared by all tests that leave it as it was."""
    with Server("--log-level", "warn") as shared:
        yield shared


@pytest.fixture(scope="session")
def faulty_replica():
    if not FAULTY_REPLICA.exists():
        pytest.skip(f"{FAULTY_REPLICA} is not built")
    return FAULTY_REPLICA


@pytest.fixture(scope="session")
def emulated_replica():
    """sheaf-replica-cuda, but that this processor plays the card."""
    if not EMULATED_REPLICA.exists():
        pytest.skip(f"{EMULATED_REPLICA} is not built")
    return EMULATED_REPLICA


@pytest.fixture(scope="session")
def stubs(tmp_path_factory):
    """Python modules made at test time: {"arctic_pb2": module, "reflection_v1_pb2_grpc": …}."""
    out = tmp_path_factory.mktemp("stubs")
    protos = [REPOSITORY / "proto" / f"{name}.proto" for name in ("arctic", "reflection_v1", "tei")]
    arguments = ["protoc", f"-I{REPOSITORY / 'proto'}", f"--python_out={out}",
                 f"--grpc_python_out={out}", *map(str, protos)]
    assert protoc.main(arguments) == 0
    sys.path.insert(0, str(out))
    return {path.stem: importlib.import_module(path.stem) for path in sorted(out.glob("*.py"))}
