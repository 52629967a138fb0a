"""Writes SentencePiece's precompiled_charsmap, for few rules: a Darts double array and the texts it points to."""

import base64
import struct


def make_charsmap(rules):
    """Base64 of the charsmap that replaces each key of `rules` by its value."""
    return base64.b64encode(charsmap_bytes(rules)).decode()


def charsmap_bytes(rules):
    texts, values = b"", {}
    for key, text in rules.items():
        values[key.encode()] = len(texts)
        texts += text.encode() + b"\0"
    units = double_array(values)
    return struct.pack("<I", 4 * len(units)) + struct.pack(f"<{len(units)}I", *units) + texts


def double_array(values):
    """Each node with children has a block of 256 units to itself: wasteful, but plain."""
    nodes = sorted({key[:i] for key in values for i in range(len(key) + 1)})  # the root comes first
    base = {node: 256 * (i + 1) for i, node in enumerate(nodes)}
    units = [0] * (256 * (len(nodes) + 1))
    units[0] = offset_bits(base[b""])
    for node in nodes[1:]:
        at = base[node[:-1]] ^ node[-1]
        units[at] = node[-1] | offset_bits(at ^ base[node]) | (0x100 if node in values else 0)
    for key, value in values.items():
        units[base[key]] = value | 1 << 31
    return units


def offset_bits(offset):
    assert offset < 1 << 21
    return offset << 10
