"""What the tests of tokenizers share."""
import os
import pathlib

import pytest

SOURCE = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="session")
def program():
    folders = [os.environ.get("SHEAF_BIN_DIR", ""), SOURCE / "build/release/bin", SOURCE / "build/dev/bin"]
    for folder in filter(None, folders):
        if (pathlib.Path(folder) / "tokenizer_io").exists():
            return str(pathlib.Path(folder) / "tokenizer_io")
    pytest.fail("tokenizer_io is not built: run `make test`, or build the target tokenizer_io")
