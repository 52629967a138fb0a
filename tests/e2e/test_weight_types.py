"""Weights stored as F16 and BF16: the vectors are those of the same numbers stored as F32, bit for bit."""

import json
import pathlib
import struct
import subprocess

import numpy as np
import pytest

from sheaf_server import MODEL_FOLDER, SHEAF

TEXTS = "a text\nanother, somewhat longer text about the price of fish\n"


def read_tensors(path):
    data = path.read_bytes()
    (size,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    return {name: np.frombuffer(data, "<f4", int(np.prod(entry["shape"])), 8 + size + entry["data_offsets"][0])
            .reshape(entry["shape"]) for name, entry in header.items() if entry["dtype"] == "F32"}


def write_tensors(path, tensors, dtype, encode):
    header, bodies, at = {}, [], 0
    for name, values in tensors.items():
        body = encode(values).tobytes()
        header[name] = {"dtype": dtype, "shape": list(values.shape), "data_offsets": [at, at + len(body)]}
        bodies.append(body)
        at += len(body)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(bodies))


def to_bf16(values):
    return (np.ascontiguousarray(values).view("<u4") >> 16).astype("<u2")


def from_bf16(bits):
    return (bits.astype("<u4") << 16).view("<f4")


def vectors_of(folder, tensors, dtype, encode):
    folder.mkdir()
    for path in pathlib.Path(MODEL_FOLDER).iterdir():
        if path.name != "model.safetensors":
            (folder / path.name).symlink_to(path.resolve())
    write_tensors(folder / "model.safetensors", tensors, dtype, encode)
    out = folder / "vectors.npy"
    subprocess.run([SHEAF, "embed", "--model", folder, "--output", out], input=TEXTS, text=True, check=True, timeout=60)
    return np.load(out)


@pytest.mark.parametrize("dtype, encode, decode", [
    ("F16", lambda v: v.astype("<f2"), lambda b: b.astype("<f4")),
    ("BF16", to_bf16, from_bf16),
])
def test_halves_are_the_same_numbers(tmp_path, dtype, encode, decode):
    tensors = read_tensors(pathlib.Path(MODEL_FOLDER) / "model.safetensors")
    rounded = {name: decode(encode(values)).reshape(values.shape) for name, values in tensors.items()}
    stored = vectors_of(tmp_path / "half", tensors, dtype, encode)
    widened = vectors_of(tmp_path / "full", rounded, "F32", lambda v: v.astype("<f4"))
    assert stored.shape == (2, 384)
    assert np.array_equal(stored, widened)
