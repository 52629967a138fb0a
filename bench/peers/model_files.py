"""What a model's folder says, as far as peers must be told."""

import json
import pathlib


def pooling_of(folder):
    """"cls", "mean", "lasttoken"; of a classifier None."""
    path = pathlib.Path(folder) / "1_Pooling/config.json"
    if not path.exists():
        return None
    config = json.loads(path.read_text())
    return config.get("pooling_mode") or next(mode for mode, key in (
        ("cls", "pooling_mode_cls_token"), ("mean", "pooling_mode_mean_tokens"),
        ("lasttoken", "pooling_mode_lasttoken")) if config.get(key))


def once(path, make):
    """The path of what make(path) writes, made if it is not there; under another name until it is whole."""
    if not path.exists():
        partial = path.with_name("partial-" + path.name)
        make(partial)
        partial.rename(path)
    return path
